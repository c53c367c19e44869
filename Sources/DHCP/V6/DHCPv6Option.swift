public import NetworkAddresses

/// An option of a DHCPv6 message, of an association or of an address (RFC 8415, section 21).
public enum DHCPv6Option: Hashable, Sendable {
  /// Client Identifier (1).
  case clientID(DUID)
  /// Server Identifier (2).
  case serverID(DUID)
  /// Identity Association for Non-temporary Addresses, IA_NA (3).
  case association(DHCPv6Association)
  /// IA Address (5); only inside an association.
  case address(DHCPv6Address)
  /// Option Request (6): codes of options that the client would like to get.
  case optionRequest([UInt16])
  /// Preference (7).
  case preference(UInt8)
  /// Elapsed Time (8): hundredths of a second since the client began this exchange.
  case elapsedTime(UInt16)
  /// Status Code (13).
  case status(DHCPv6Status)
  /// Rapid Commit (14).
  case rapidCommit
  /// Recursive name servers (23, RFC 3646).
  case dnsServers([IPv6Address])
  /// Domain search list (24, RFC 3646).
  case domainSearch([String])
  /// SOL_MAX_RT (82): seconds, from 60 to 86400.
  case solicitMaximum(UInt32)
  /// Every other option, and one of those above whose content cannot be read.
  case other(code: UInt16, data: [UInt8])

  /// The option's number at IANA.
  public var code: UInt16 {
    switch self {
    case .clientID: Code.clientID
    case .serverID: Code.serverID
    case .association: Code.association
    case .address: Code.address
    case .optionRequest: Code.optionRequest
    case .preference: Code.preference
    case .elapsedTime: Code.elapsedTime
    case .status: Code.status
    case .rapidCommit: Code.rapidCommit
    case .dnsServers: Code.dnsServers
    case .domainSearch: Code.domainSearch
    case .solicitMaximum: Code.solicitMaximum
    case .other(let code, _): code
    }
  }

  /// Numbers of options.
  public enum Code {
    /// Client Identifier.
    public static let clientID: UInt16 = 1
    /// Server Identifier.
    public static let serverID: UInt16 = 2
    /// IA_NA.
    public static let association: UInt16 = 3
    /// IA Address.
    public static let address: UInt16 = 5
    /// Option Request.
    public static let optionRequest: UInt16 = 6
    /// Preference.
    public static let preference: UInt16 = 7
    /// Elapsed Time.
    public static let elapsedTime: UInt16 = 8
    /// Status Code.
    public static let status: UInt16 = 13
    /// Rapid Commit.
    public static let rapidCommit: UInt16 = 14
    /// DNS Recursive Name Server (RFC 3646).
    public static let dnsServers: UInt16 = 23
    /// Domain Search List (RFC 3646).
    public static let domainSearch: UInt16 = 24
    /// SOL_MAX_RT.
    public static let solicitMaximum: UInt16 = 82
  }
}

// MARK: - Bytes

extension DHCPv6Option {
  /// What options stand in. An association holds addresses and nothing holds associations: so however options are
  /// nested by who sent them, reading goes three levels deep and no deeper.
  enum Container { case message, association, address }

  /// Reads options to the end of `bytes`; `nil` if one leads beyond it.
  static func list(_ bytes: ArraySlice<UInt8>, in container: Container) -> [DHCPv6Option]? {
    var reader = ByteReader(bytes)
    var options: [DHCPv6Option] = []
    while !reader.isAtEnd {
      guard let code = reader.number(UInt16.self), let length = reader.number(UInt16.self),
        let data = reader.bytes(Int(length))
      else { return nil }
      options.append(read(code, data, in: container) ?? .other(code: code, data: Array(data)))
    }
    return options
  }

  /// `nil` where the content is not what the code promises.
  private static func read(
    _ code: UInt16, _ data: ArraySlice<UInt8>, in container: Container
  ) -> DHCPv6Option? {
    var reader = ByteReader(data)
    let option: DHCPv6Option?
    switch code {
    case Code.clientID: return DUID(bytes: data).map(DHCPv6Option.clientID)
    case Code.serverID: return DUID(bytes: data).map(DHCPv6Option.serverID)
    case Code.association where container == .message:
      return DHCPv6Association(data).map(DHCPv6Option.association)
    case Code.address where container == .association: return DHCPv6Address(data).map(DHCPv6Option.address)
    case Code.status: return DHCPv6Status(data).map(DHCPv6Option.status)
    case Code.domainSearch: return domainNames(data).map(DHCPv6Option.domainSearch)
    case Code.optionRequest:
      guard data.count % 2 == 0 else { return nil }
      var codes: [UInt16] = []
      while let code = reader.number(UInt16.self) { codes.append(code) }
      option = .optionRequest(codes)
    case Code.dnsServers:
      guard data.count % 16 == 0 else { return nil }
      var addresses: [IPv6Address] = []
      while let address = reader.number(UInt128.self) { addresses.append(IPv6Address(rawValue: address)) }
      option = .dnsServers(addresses)
    case Code.preference: option = reader.byte().map(DHCPv6Option.preference)
    case Code.elapsedTime: option = reader.number().map(DHCPv6Option.elapsedTime)
    case Code.rapidCommit: option = .rapidCommit
    case Code.solicitMaximum: option = reader.number().map(DHCPv6Option.solicitMaximum)
    default: option = nil
    }
    return reader.isAtEnd ? option : nil
  }

  func write(to bytes: inout [UInt8]) {
    bytes.append(bigEndian: code)
    let length = bytes.count
    bytes.append(bigEndian: UInt16(0))
    switch self {
    case .clientID(let duid), .serverID(let duid): bytes += duid.bytes
    case .association(let association): association.write(to: &bytes)
    case .address(let address): address.write(to: &bytes)
    case .optionRequest(let codes): for code in codes { bytes.append(bigEndian: code) }
    case .preference(let value): bytes.append(value)
    case .elapsedTime(let hundredths): bytes.append(bigEndian: hundredths)
    case .status(let status): status.write(to: &bytes)
    case .rapidCommit: break
    case .dnsServers(let addresses): for address in addresses { bytes += address.bytes }
    case .domainSearch(let names): for name in names { Self.write(domainName: name, to: &bytes) }
    case .solicitMaximum(let seconds): bytes.append(bigEndian: seconds)
    case .other(_, let data): bytes += data
    }
    // Nothing that a client sends comes near 64 KiB; cut rather than lie about the length.
    let size = min(bytes.count - length - 2, 0xffff)
    bytes.removeSubrange((length + 2 + size)...)
    bytes[length] = UInt8(size >> 8)
    bytes[length + 1] = UInt8(size & 0xff)
  }
}
