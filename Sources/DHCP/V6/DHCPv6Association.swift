public import NetworkAddresses

/// An identity association for non-temporary addresses, IA_NA (RFC 8415, section 21.4): addresses that a server gave, or
/// would give, to one interface of a client.
public struct DHCPv6Association: Hashable, Sendable {
  /// Chosen by the client, unique among its associations.
  public var id: UInt32
  /// Seconds after which the client asks the server that gave the addresses to extend them; 0 leaves it to the client.
  public var renewTime: UInt32
  /// Seconds after which it asks any server; 0 leaves it to the client.
  public var rebindTime: UInt32
  /// Addresses, a status, and what else the server has put in.
  public var options: [DHCPv6Option]

  /// An association.
  public init(id: UInt32, renewTime: UInt32 = 0, rebindTime: UInt32 = 0, options: [DHCPv6Option] = []) {
    self.id = id
    self.renewTime = renewTime
    self.rebindTime = rebindTime
    self.options = options
  }

  /// Its addresses, those with a status of their own included.
  public var addresses: [DHCPv6Address] {
    options.compactMap { if case .address(let address) = $0 { address } else { nil } }
  }
  /// The outcome for this association; success without the option.
  public var status: DHCPv6Status { options.status }

  init?(_ data: ArraySlice<UInt8>) {
    var reader = ByteReader(data)
    guard let id = reader.number(UInt32.self), let renewTime = reader.number(UInt32.self),
      let rebindTime = reader.number(UInt32.self),
      let options = DHCPv6Option.list(reader.rest, in: .association)
    else { return nil }
    self.init(id: id, renewTime: renewTime, rebindTime: rebindTime, options: options)
  }

  func write(to bytes: inout [UInt8]) {
    bytes.append(bigEndian: id)
    bytes.append(bigEndian: renewTime)
    bytes.append(bigEndian: rebindTime)
    for option in options { option.write(to: &bytes) }
  }
}

/// An address in an association, with its lifetimes (RFC 8415, section 21.6).
public struct DHCPv6Address: Hashable, Sendable {
  /// A lifetime without end.
  public static let infinity = UInt32.max

  /// The address.
  public var address: IPv6Address
  /// Seconds for which new connections may use it.
  public var preferredLifetime: UInt32
  /// Seconds for which it may be used at all; 0 withdraws it.
  public var validLifetime: UInt32
  /// A status, and what else the server has put in.
  public var options: [DHCPv6Option]

  /// An address; a client that asks for one leaves the lifetimes 0.
  public init(
    _ address: IPv6Address, preferredLifetime: UInt32 = 0, validLifetime: UInt32 = 0,
    options: [DHCPv6Option] = []
  ) {
    self.address = address
    self.preferredLifetime = preferredLifetime
    self.validLifetime = validLifetime
    self.options = options
  }

  /// The outcome for this address; success without the option.
  public var status: DHCPv6Status { options.status }

  init?(_ data: ArraySlice<UInt8>) {
    var reader = ByteReader(data)
    guard let address = reader.number(UInt128.self), let preferred = reader.number(UInt32.self),
      let valid = reader.number(UInt32.self), let options = DHCPv6Option.list(reader.rest, in: .address)
    else { return nil }
    self.init(
      IPv6Address(rawValue: address), preferredLifetime: preferred, validLifetime: valid, options: options)
  }

  func write(to bytes: inout [UInt8]) {
    bytes += address.bytes
    bytes.append(bigEndian: preferredLifetime)
    bytes.append(bigEndian: validLifetime)
    for option in options { option.write(to: &bytes) }
  }
}

/// An outcome, for a message, an association or an address (RFC 8415, section 21.13).
public struct DHCPv6Status: Hashable, Sendable, CustomStringConvertible {
  /// Status codes.
  public enum Code: UInt16, Sendable, Hashable, CaseIterable {
    /// Success.
    case success = 0
    /// UnspecFail: for a reason not given.
    case unspecifiedFailure = 1
    /// NoAddrsAvail: the server has no address to give.
    case noAddressesAvailable = 2
    /// NoBinding: the server does not know the association.
    case noBinding = 3
    /// NotOnLink: the address does not belong on the client's link.
    case notOnLink = 4
    /// UseMulticast: the server does not take unicast.
    case useMulticast = 5
    /// NoPrefixAvail: there is no prefix to delegate.
    case noPrefixAvailable = 6
  }

  /// The number on the wire; not necessarily one of ``Code``.
  public var rawCode: UInt16
  /// For a person; as the server sent it, only without control characters.
  public var message: String

  /// A status.
  public init(_ code: Code, _ message: String = "") {
    rawCode = code.rawValue
    self.message = message
  }

  /// The code, if it is one that is known.
  public var code: Code? { Code(rawValue: rawCode) }
  /// Whether the code is 0.
  public var isSuccess: Bool { rawCode == 0 }

  /// `NoAddrsAvail (no addresses left)`.
  public var description: String {
    let name =
      switch code {
      case .success: "Success"
      case .unspecifiedFailure: "UnspecFail"
      case .noAddressesAvailable: "NoAddrsAvail"
      case .noBinding: "NoBinding"
      case .notOnLink: "NotOnLink"
      case .useMulticast: "UseMulticast"
      case .noPrefixAvailable: "NoPrefixAvail"
      case nil: "status \(rawCode)"
      }
    return message.isEmpty ? name : "\(name) (\(message))"
  }

  init?(_ data: ArraySlice<UInt8>) {
    var reader = ByteReader(data)
    guard let code = reader.number(UInt16.self) else { return nil }
    rawCode = code
    // It ends up in errors and logs, where a line break or an escape sequence would pretend to be something else.
    let text = String(decoding: reader.rest.prefix(256), as: UTF8.self).unicodeScalars
      .filter { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
    message = String(String.UnicodeScalarView(text))
  }

  func write(to bytes: inout [UInt8]) {
    bytes.append(bigEndian: rawCode)
    bytes += message.utf8
  }
}
