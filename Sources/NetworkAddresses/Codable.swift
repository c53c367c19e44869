// In JSON and every other such format an address is its text.

/// A value that is encoded as its text form.
public protocol TextCodable: Codable, LosslessStringConvertible {
  /// What the text is, with an article, for error messages: `an IP address`.
  static var textDescription: String { get }
}

extension TextCodable {
  /// Decodes a string, and throws `DecodingError.dataCorrupted` if it is not the text form of such a value.
  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let value = Self(text) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is not \(Self.textDescription)"))
    }
    self = value
  }

  /// Encodes the text form as a string.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

extension IPv4Address: TextCodable {
  /// `an IPv4 address`.
  public static var textDescription: String { "an IPv4 address" }
}

extension IPv6Address: TextCodable {
  /// `an IPv6 address`.
  public static var textDescription: String { "an IPv6 address" }
}

extension IPAddress: TextCodable {
  /// `an IP address`.
  public static var textDescription: String { "an IP address" }
}

extension IPPrefix: TextCodable {
  /// `a subnet`.
  public static var textDescription: String { "a subnet" }
}

extension MACAddress: TextCodable {
  /// `a MAC address`.
  public static var textDescription: String { "a MAC address" }
}
