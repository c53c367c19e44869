extension JSONValue {
  /// The value as JSON in UTF-8, without a newline at its end.
  /// - Parameter pretty: over several lines, indented by four spaces, as the Go tools print.
  public func serialized(pretty: Bool = false) -> [UInt8] {
    var printer = JSONPrinter(pretty: pretty)
    printer.write(self)
    return printer.bytes
  }
}

struct JSONPrinter {
  var bytes: [UInt8] = []
  private let pretty: Bool
  private var depth = 0

  init(pretty: Bool) {
    self.pretty = pretty
    bytes.reserveCapacity(1024)
  }

  mutating func write(_ value: JSONValue) {
    switch value.kind {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .bool(true): bytes.append(contentsOf: "true".utf8)
    case .bool(false): bytes.append(contentsOf: "false".utf8)
    case .number(let text): bytes.append(contentsOf: text.utf8)
    case .string(let text): write(text)
    case .array(let values):
      bytes.append(UInt8(ascii: "["))
      depth += 1
      for (index, value) in values.enumerated() {
        separate(isFirst: index == 0)
        write(value)
      }
      depth -= 1
      close(UInt8(ascii: "]"), isEmpty: values.isEmpty)
    case .object(let object):
      bytes.append(UInt8(ascii: "{"))
      depth += 1
      for (index, member) in object.members.enumerated() {
        separate(isFirst: index == 0)
        write(member.key)
        bytes.append(UInt8(ascii: ":"))
        if pretty { bytes.append(UInt8(ascii: " ")) }
        write(member.value)
      }
      depth -= 1
      close(UInt8(ascii: "}"), isEmpty: object.isEmpty)
    }
  }

  private mutating func separate(isFirst: Bool) {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    if pretty { startLine() }
  }

  private mutating func close(_ bracket: UInt8, isEmpty: Bool) {
    if pretty, !isEmpty { startLine() }
    bytes.append(bracket)
  }

  private mutating func startLine() {
    bytes.append(UInt8(ascii: "\n"))
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 4 * depth))
  }

  private mutating func write(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    var text = text
    text.withUTF8 { buffer in
      var plain = 0
      for (index, byte) in buffer.enumerated()
      where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: buffer[plain..<index]))
        writeEscape(byte)
        plain = index + 1
      }
      bytes.append(contentsOf: UnsafeBufferPointer(rebasing: buffer[plain...]))
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func writeEscape(_ byte: UInt8) {
    bytes.append(UInt8(ascii: "\\"))
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
    case 0x08: bytes.append(UInt8(ascii: "b"))
    case 0x09: bytes.append(UInt8(ascii: "t"))
    case 0x0a: bytes.append(UInt8(ascii: "n"))
    case 0x0c: bytes.append(UInt8(ascii: "f"))
    case 0x0d: bytes.append(UInt8(ascii: "r"))
    default:
      bytes.append(contentsOf: "u00".utf8)
      for digit in [byte >> 4, byte & 0xf] {
        bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      }
    }
  }
}
