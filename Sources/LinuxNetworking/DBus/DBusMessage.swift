/// A message of D-Bus (D-Bus Specification, "Message Protocol").
public struct DBusMessage: Hashable, Sendable {
  /// What it is.
  public enum Kind: UInt8, Hashable, Sendable {
    /// A method is called.
    case methodCall = 1
    /// A method's answer.
    case methodReturn = 2
    /// A method failed.
    case error = 3
    /// Something happened.
    case signal = 4
  }

  /// What it is.
  public var kind: Kind
  /// The sender's number for it, not 0.
  public var serial: UInt32
  /// `NO_AUTO_START`: a service that does not run is not started for this.
  public var startsNoService = false
  /// The object.
  public var path: String?
  /// Of the method or signal.
  public var interface: String?
  /// The method or signal.
  public var member: String?
  /// Of an error.
  public var errorName: String?
  /// The call that this answers.
  public var replySerial: UInt32?
  /// Whom it is for.
  public var destination: String?
  /// Whom it is from.
  public var sender: String?
  /// The arguments.
  public var body: [DBusValue] = []

  /// A message with nothing in it.
  public init(_ kind: Kind, serial: UInt32) {
    self.kind = kind
    self.serial = serial
  }

  /// A call of a method.
  public init(
    call member: String, of interface: String, path: String, destination: String, _ body: [DBusValue] = [],
    serial: UInt32
  ) {
    self.init(.methodCall, serial: serial)
    self.member = member
    self.interface = interface
    self.path = path
    self.destination = destination
    self.body = body
  }

  /// The message as it goes over the wire, in little-endian order.
  public func encoded() -> [UInt8] {
    var content = DBusWriter()
    for value in body { content.append(value) }
    var fields: [(UInt8, DBusValue?)] = [
      (1, path.map(DBusValue.objectPath)), (2, interface.map(DBusValue.string)),
      (3, member.map(DBusValue.string)), (4, errorName.map(DBusValue.string)),
      (5, replySerial.map(DBusValue.uint32)), (6, destination.map(DBusValue.string)),
      (7, sender.map(DBusValue.string)),
    ]
    if !body.isEmpty { fields.append((8, .signature(body.map(\.signature).joined()))) }

    var message = DBusWriter()
    message.append(UInt8(ascii: "l"))
    message.append(kind.rawValue)
    message.append(UInt8(startsNoService ? 2 : 0))
    message.append(UInt8(1))
    message.append(UInt32(content.bytes.count))
    message.append(serial)
    message.append(
      .array(
        of: "(yv)",
        fields.compactMap { code, value in value.map { .structure([.byte(code), .variant($0)]) } }))
    message.align(8)
    return message.bytes + content.bytes
  }

  /// The length of the message that begins with these bytes, nil while there are fewer than 16 of them.
  ///
  /// - Throws: for what is not the beginning of a message, or of one longer than the specification allows (128 MiB).
  static func length(_ bytes: ArraySlice<UInt8>) throws(DBusReader.Malformed) -> Int? {
    guard bytes.count >= 16 else { return nil }
    var reader = DBusReader(bytes, isBigEndian: try isBigEndian(bytes))
    let head = try reader.number(UInt32.self)
    _ = head
    let body = try reader.number(UInt32.self)
    _ = try reader.number(UInt32.self)
    let fields = try reader.number(UInt32.self)
    guard body <= 128 << 20, fields <= 64 << 20 else { throw DBusReader.Malformed() }
    let length = (16 + Int(fields) + 7) / 8 * 8 + Int(body)
    guard length <= 128 << 20 else { throw DBusReader.Malformed() }
    return length
  }

  private static func isBigEndian(_ bytes: ArraySlice<UInt8>) throws(DBusReader.Malformed) -> Bool {
    switch bytes.first {
    case UInt8(ascii: "l"): return false
    case UInt8(ascii: "B"): return true
    default: throw DBusReader.Malformed()
    }
  }

  /// Reads a whole message; nil for bytes that are none, and for kinds that do not exist yet.
  public init?(_ bytes: ArraySlice<UInt8>) {
    do throws(DBusReader.Malformed) {
      guard try Self.length(bytes) == bytes.count else { return nil }
      var reader = DBusReader(bytes, isBigEndian: try Self.isBigEndian(bytes))
      _ = try reader.number(UInt8.self)
      guard let kind = Kind(rawValue: try reader.number()) else { return nil }
      let flags = try reader.number(UInt8.self)
      guard try reader.number(UInt8.self) == 1 else { return nil }
      _ = try reader.number(UInt32.self)
      self.init(kind, serial: try reader.number())
      startsNoService = flags & 2 != 0
      var signature = ""
      guard case .array(_, let fields)? = try reader.values("a(yv)").first else { return nil }
      for case .structure(let field) in fields {
        guard field.count == 2, case .byte(let code) = field[0], case .variant(let value) = field[1] else {
          return nil
        }
        switch (code, value) {
        case (1, .objectPath(let text)): path = text
        case (2, .string(let text)): interface = text
        case (3, .string(let text)): member = text
        case (4, .string(let text)): errorName = text
        case (5, .uint32(let number)): replySerial = number
        case (6, .string(let text)): destination = text
        case (7, .string(let text)): sender = text
        case (8, .signature(let text)): signature = text
        default: break
        }
      }
      try reader.align(8)
      body = try reader.values(signature)
      guard reader.position == bytes.count else { return nil }
    } catch {
      return nil
    }
  }
}
