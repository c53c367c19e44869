public import NetworkAddresses

/// One direction of a tracked connection: who sends what to whom (`CTA_TUPLE_*`).
public struct ConntrackTuple: Hashable, Sendable, CustomStringConvertible {
  /// What tells connections of the same protocol between the same addresses apart.
  public enum Ports: Hashable, Sendable {
    /// Of TCP, UDP, SCTP and their like.
    case ports(source: UInt16, destination: UInt16)
    /// Of ICMP and ICMPv6, whose messages are questions and answers.
    case icmp(identifier: UInt16, type: UInt8, code: UInt8)
    /// Of protocols that have nothing of the kind.
    case none
  }

  /// Who sends.
  public var source: IPAddress
  /// To whom; of the same family.
  public var destination: IPAddress
  /// The protocol above IP.
  public var transport: InternetProtocol
  /// From where to where.
  public var ports: Ports

  /// One direction of a connection.
  public init(source: IPAddress, destination: IPAddress, transport: InternetProtocol, ports: Ports) {
    self.source = source
    self.destination = destination
    self.transport = transport
    self.ports = ports
  }

  /// Of the protocols that have ports.
  public var sourcePort: UInt16? { if case .ports(let port, _) = ports { port } else { nil } }
  /// Of the protocols that have ports.
  public var destinationPort: UInt16? { if case .ports(_, let port) = ports { port } else { nil } }

  /// As `conntrack -L` prints it: `src=10.0.0.1 dst=10.0.0.2 sport=40099 dport=53`.
  public var description: String {
    let text = "src=\(source) dst=\(destination)"
    return switch ports {
    case .ports(let source, let destination): text + " sport=\(source) dport=\(destination)"
    case .icmp(let identifier, let type, let code): text + " type=\(type) code=\(code) id=\(identifier)"
    case .none: text
    }
  }

  /// Appends the attributes inside `CTA_TUPLE_*`.
  func encode(into builder: inout MessageBuilder) {
    let four = source.family == .ipv4
    builder.nested(1) {
      $0.attribute(four ? 1 : 3, bytes: source.bytes)
      $0.attribute(four ? 2 : 4, bytes: destination.bytes)
    }
    builder.nested(2) {
      $0.attribute(1, transport.rawValue)
      switch ports {
      case .ports(let source, let destination):
        $0.attribute(2, bigEndian: source)
        $0.attribute(3, bigEndian: destination)
      case .icmp(let identifier, let type, let code):
        $0.attribute(four ? 4 : 7, bigEndian: identifier)
        $0.attribute(four ? 5 : 8, type)
        $0.attribute(four ? 6 : 9, code)
      case .none: break
      }
    }
  }

  /// Reads the attributes inside `CTA_TUPLE_*`; nil without addresses or protocol.
  init?(_ attributes: Attributes) {
    guard let addresses = attributes[1]?.nested, let transport = attributes[2]?.nested,
      let source = (addresses[1] ?? addresses[3]).flatMap({ IPAddress(bytes: $0.value) }),
      let destination = (addresses[2] ?? addresses[4]).flatMap({ IPAddress(bytes: $0.value) }),
      let number: UInt8 = transport[1]?.integer()
    else { return nil }
    var ports = Ports.none
    if let source: UInt16 = transport[2]?.bigEndian(), let destination: UInt16 = transport[3]?.bigEndian() {
      ports = .ports(source: source, destination: destination)
    } else if let identifier: UInt16 = (transport[4] ?? transport[7])?.bigEndian(),
      let type: UInt8 = (transport[5] ?? transport[8])?.integer(),
      let code: UInt8 = (transport[6] ?? transport[9])?.integer()
    {
      ports = .icmp(identifier: identifier, type: type, code: code)
    }
    self.init(
      source: source, destination: destination, transport: InternetProtocol(rawValue: number), ports: ports)
  }
}
