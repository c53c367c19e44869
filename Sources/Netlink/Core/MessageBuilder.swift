/// Writes netlink messages one behind the other into one growing buffer, and takes care of lengths and of the
/// alignment to 4 bytes (`NLMSG_ALIGN`, `NLA_ALIGN`).
///
/// ```swift
/// var builder = MessageBuilder()
/// builder.message(type: 16, flags: [.request, .acknowledge], sequence: 1) { message in
///   message.append(UInt8(0))  // … the family's fixed header
///   message.attribute(3, string: "veth0")
///   message.nested(18) { $0.attribute(1, string: "veth") }
/// }
/// ```
public struct MessageBuilder: Hashable, Sendable {
  /// Everything written so far.
  public private(set) var bytes: [UInt8]

  /// An attribute was larger than its 16-bit length can say (65,535 bytes with its header). The bytes must not
  /// be sent then; `NetlinkSocket` refuses them with `EMSGSIZE`.
  public private(set) var isOversized = false

  /// An empty buffer with room for `capacity` bytes.
  public init(capacity: Int = 512) {
    bytes = []
    bytes.reserveCapacity(capacity)
  }

  /// Forgets what was written and keeps the memory.
  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    isOversized = false
  }

  /// Appends a message: header (`struct nlmsghdr`, port 0), what `body` appends, padding.
  public mutating func message(
    type: UInt16, flags: NetlinkMessageFlags, sequence: UInt32 = 0, _ body: (inout MessageBuilder) -> Void
  ) {
    let start = bytes.count
    append(UInt32(0))
    append(type)
    append(flags.rawValue)
    append(sequence)
    append(UInt32(0))
    body(&self)
    store(UInt32(truncatingIfNeeded: bytes.count - start), at: start)
    pad()
  }

  /// Appends an integer in host byte order, without padding: a field of a fixed header.
  @inlinable
  public mutating func append<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value) { appendRaw($0) }
  }

  /// Appends an integer in network byte order, without padding.
  @inlinable
  public mutating func append<T: FixedWidthInteger>(bigEndian value: T) {
    append(value.bigEndian)
  }

  /// Appends bytes as they are, without padding.
  public mutating func append(bytes more: some Collection<UInt8>) {
    bytes.append(contentsOf: more)
  }

  /// Appends what another builder holds.
  public mutating func append(_ other: MessageBuilder) {
    bytes.append(contentsOf: other.bytes)
    if other.isOversized { isOversized = true }
  }

  /// Appends zeros up to the next multiple of 4.
  public mutating func pad() {
    while bytes.count & 3 != 0 { bytes.append(0) }
  }

  /// Appends an attribute without a value (`NLA_FLAG`).
  public mutating func attribute(_ type: UInt16) {
    header(type, payload: 0)
  }

  /// Appends an integer attribute in host byte order.
  @inlinable
  public mutating func attribute<T: FixedWidthInteger>(_ type: UInt16, _ value: T) {
    header(type, payload: MemoryLayout<T>.size)
    append(value)
    pad()
  }

  /// Appends an integer attribute in network byte order.
  @inlinable
  public mutating func attribute<T: FixedWidthInteger>(_ type: UInt16, bigEndian value: T) {
    attribute(type, value.bigEndian)
  }

  /// Appends a string attribute with its terminating NUL (`NLA_NUL_STRING`).
  public mutating func attribute(_ type: UInt16, string: String) {
    let count = string.utf8.count
    guard header(type, payload: count + 1) else { return }
    bytes.append(contentsOf: string.utf8)
    bytes.append(0)
    pad()
  }

  /// Appends an attribute of raw bytes (`NLA_BINARY`).
  public mutating func attribute(_ type: UInt16, bytes value: some Collection<UInt8>) {
    guard header(type, payload: value.count) else { return }
    bytes.append(contentsOf: value)
    pad()
  }

  /// Appends an attribute whose value is what `body` appends; `flagged` says whether its type carries
  /// `NLA_F_NESTED`, which newer families insist on and older ones ignore.
  public mutating func nested(_ type: UInt16, flagged: Bool = true, _ body: (inout MessageBuilder) -> Void) {
    let start = bytes.count
    header(flagged ? type | Attribute.nestedFlag : type, payload: 0)
    body(&self)
    let length = bytes.count - start
    if let length = UInt16(exactly: length) { store(length, at: start) } else { isOversized = true }
    pad()
  }

  @usableFromInline
  mutating func appendRaw(_ raw: UnsafeRawBufferPointer) {
    bytes.append(contentsOf: raw)
  }

  /// `struct nlattr`; false if the value cannot be said in 16 bits.
  @usableFromInline @discardableResult
  mutating func header(_ type: UInt16, payload: Int) -> Bool {
    guard let length = UInt16(exactly: payload + 4) else {
      isOversized = true
      return false
    }
    append(length)
    append(type)
    return true
  }

  private mutating func store<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    bytes.withUnsafeMutableBytes { buffer in
      Swift.withUnsafeBytes(of: value) { raw in
        UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]).copyMemory(from: raw)
      }
    }
  }
}
