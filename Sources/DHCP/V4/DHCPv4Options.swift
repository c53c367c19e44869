public import NetworkAddresses

/// The options of a message, each once, in the order in which they came first.
public struct DHCPv4Options: Hashable, Sendable {
  /// One option with its bytes, however many fields they came in.
  public struct Option: Hashable, Sendable {
    /// Which one.
    public let code: DHCPv4OptionCode
    /// Its value.
    public fileprivate(set) var value: [UInt8]
  }

  /// The options in order.
  public private(set) var all: [Option] = []

  /// None.
  public init() {}

  /// The bytes of an option; `nil` if it is not there. Setting `nil` removes it.
  public subscript(code: DHCPv4OptionCode) -> [UInt8]? {
    get { all.first { $0.code == code }?.value }
    set {
      switch (all.firstIndex { $0.code == code }, newValue) {
      case (let index?, let value?): all[index].value = value
      case (let index?, nil): all.remove(at: index)
      case (nil, let value?): all.append(Option(code: code, value: value))
      case (nil, nil): break
      }
    }
  }

  /// Puts together what belongs together.
  struct Collector {
    var options = DHCPv4Options()

    /// Reads options up to the end mark, the end of the field, or one that is cut off.
    mutating func read(_ field: ArraySlice<UInt8>) {
      var reader = ByteReader(field)
      while let code = reader.byte(), code != DHCPv4OptionCode.end.rawValue {
        if code == DHCPv4OptionCode.pad.rawValue { continue }
        guard let length = reader.byte(), let value = reader.bytes(Int(length)) else { return }
        let key = DHCPv4OptionCode(rawValue: code)
        if let index = options.all.firstIndex(where: { $0.code == key }) {
          options.all[index].value += value
        } else {
          options.all.append(Option(code: key, value: Array(value)))
        }
      }
    }
  }

  /// Appends all options; one that is longer than 255 bytes in several pieces (RFC 3396, section 6).
  func encode(into bytes: inout [UInt8]) {
    for option in all where option.code != .pad && option.code != .end {
      var rest = option.value[...]
      repeat {
        let piece = rest.prefix(255)
        bytes += [option.code.rawValue, UInt8(piece.count)]
        bytes += piece
        rest = rest.dropFirst(255)
      } while !rest.isEmpty
    }
  }
}

extension DHCPv4Options {
  /// A number of the option's own width in network order; `nil` if the option is not there or of another length.
  public func number<T: FixedWidthInteger>(_ code: DHCPv4OptionCode, as type: T.Type = T.self) -> T? {
    guard let value = self[code], value.count == T.bitWidth / 8 else { return nil }
    var reader = ByteReader(value)
    return reader.number()
  }

  /// Sets an option to a number in network order.
  public mutating func set<T: FixedWidthInteger>(_ code: DHCPv4OptionCode, to number: T) {
    var value: [UInt8] = []
    value.append(bigEndian: number)
    self[code] = value
  }

  /// An address; `nil` if the option is not there or not four bytes long.
  public func address(_ code: DHCPv4OptionCode) -> IPv4Address? {
    self[code].flatMap { IPv4Address(bytes: $0) }
  }

  /// A list of addresses, without what is left over at its end.
  public func addresses(_ code: DHCPv4OptionCode) -> [IPv4Address] {
    var reader = ByteReader(self[code] ?? [])
    var addresses: [IPv4Address] = []
    while let value: UInt32 = reader.number() { addresses.append(IPv4Address(rawValue: value)) }
    return addresses
  }

  /// A text without the NULs that some servers put behind it (RFC 2132, section 2), without control characters, and
  /// with every byte that is no UTF-8 replaced; `nil` if nothing is left.
  public func text(_ code: DHCPv4OptionCode) -> String? {
    guard let value = self[code] else { return nil }
    let text = String(decoding: value.filter { $0 >= 0x20 && $0 != 0x7f }, as: UTF8.self)
    return text.isEmpty ? nil : text
  }
}
