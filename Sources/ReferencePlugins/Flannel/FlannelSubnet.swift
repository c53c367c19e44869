import CNI
import LinuxNetworking
import NetworkAddresses

/// What flanneld says of this node, in a file of `KEY=value` lines (`subnet.env`).
///
/// | key | value |
/// |---|---|
/// | `FLANNEL_NETWORK`, `FLANNEL_IPV6_NETWORK` | the networks of all nodes, with commas between them |
/// | `FLANNEL_SUBNET`, `FLANNEL_IPV6_SUBNET` | this node's part of them, with the address of its bridge |
/// | `FLANNEL_MTU` | bytes |
/// | `FLANNEL_IPMASQ` | `true` if flanneld masquerades what leaves the network |
///
/// A network and a subnet, of whichever family, MTU and IPMASQ have to be there; other lines mean nothing here. Of two
/// lines with the same key the second counts.
struct FlannelSubnet: Hashable, Sendable {
  /// Without host bits and each once: those of the IPv4 key first.
  let networks: [IPPrefix]
  /// Without host bits; one or two, that of the IPv4 key first.
  let subnets: [IPPrefix]
  /// Bytes; 0 for the kernel's default.
  let mtu: UInt32
  /// Whether flanneld masquerades.
  let masquerades: Bool

  /// Reads the file.
  ///
  /// - Throws: code 11 if there is none, because there may be one soon; 5 if it cannot be read; 7 for what is in it.
  init(contentsOf path: String) throws(CNIError) {
    let content: [UInt8]?
    do throws(FileError) {
      content = try StateFile.readIfPresent(path, limit: 1 << 16)
    } catch {
      throw CNIError(.ioFailure, error.description, details: Self.remedy)
    }
    guard let content else {
      throw CNIError(
        .tryAgainLater, "flanneld has not said which subnet this node has: there is no \(path)",
        details: "is flanneld running on this node? If it writes another file, name that in subnetFile")
    }
    try self.init(parsing: content, path: path)
  }

  /// Reads the content of the file; `path` is for errors, all of code 7, which name line, key and remedy.
  init(parsing content: [UInt8], path: String) throws(CNIError) {
    var values: [Key: Value] = [:]
    for (index, line) in content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .enumerated()
    {
      let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      let name = line.prefix { $0 != UInt8(ascii: "=") }
      guard let key = Key(rawValue: String(decoding: name, as: UTF8.self)) else { continue }
      let value = Value(
        key: key, text: String(decoding: line.dropFirst(name.count + 1), as: UTF8.self),
        place: "\(path) line \(index + 1)")
      guard name.count < line.count else {
        throw value.failure("has no value", "write \(key.rawValue)=\(key.example)")
      }
      values[key] = value
    }

    var missing: [String] = []
    func requireOne(of keys: Key...) {
      if keys.allSatisfy({ values[$0] == nil }) {
        missing.append(keys.map(\.rawValue).joined(separator: " or "))
      }
    }
    requireOne(of: .network, .network6)
    requireOne(of: .subnet, .subnet6)
    requireOne(of: .mtu)
    requireOne(of: .masquerade)
    guard missing.isEmpty, let mtu = values[.mtu], let masquerade = values[.masquerade] else {
      throw CNIError(
        .invalidConfiguration, "\(path) has no \(missing.joined(separator: ", no "))", details: Self.remedy)
    }

    var networks: [IPPrefix] = []
    for key in [Key.network, .network6] {
      for network in try values[key]?.prefixes() ?? [] where !networks.contains(network) {
        networks.append(network)
      }
    }
    var subnets: [IPPrefix] = []
    for key in [Key.subnet, .subnet6] {
      if let value = values[key] { subnets.append(try value.prefix(value.text[...])) }
    }
    self.networks = networks
    self.subnets = subnets
    self.mtu = try mtu.number(upTo: 65535)
    masquerades = try masquerade.truth()
  }

  static let remedy =
    "flanneld writes this file; restart it, and look into its log for why the file is not as it should be"
}

private enum Key: String {
  case network = "FLANNEL_NETWORK"
  case subnet = "FLANNEL_SUBNET"
  case network6 = "FLANNEL_IPV6_NETWORK"
  case subnet6 = "FLANNEL_IPV6_SUBNET"
  case mtu = "FLANNEL_MTU"
  case masquerade = "FLANNEL_IPMASQ"

  var example: String {
    switch self {
    case .network: "10.244.0.0/16"
    case .subnet: "10.244.1.1/24"
    case .network6: "fd00:244::/48"
    case .subnet6: "fd00:244:0:1::1/64"
    case .mtu: "1450"
    case .masquerade: "true"
    }
  }
}

private struct Value {
  let key: Key
  let text: String
  let place: String

  func failure(_ reason: String, _ remedy: String) -> CNIError {
    CNIError(
      .invalidConfiguration, "\(place): \(key.rawValue) \(reason)",
      details: "\(remedy); \(FlannelSubnet.remedy)")
  }

  func prefixes() throws(CNIError) -> [IPPrefix] {
    var prefixes: [IPPrefix] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      prefixes.append(try prefix(part))
    }
    return prefixes
  }

  func prefix(_ part: Substring) throws(CNIError) -> IPPrefix {
    guard let prefix = IPPrefix(String(part)) else {
      throw failure(
        "is \(quoted(part)), which is not a subnet", "write address/length, for example \(key.example)")
    }
    return prefix.unmapped.network
  }

  func number(upTo limit: UInt32) throws(CNIError) -> UInt32 {
    // An initializer from text would take a sign, too.
    guard !text.isEmpty, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = UInt32(text),
      number <= limit
    else {
      throw failure(
        "is \(quoted(text[...])), which is not a number from 0 to \(limit)",
        "write bytes, for example \(key.example)")
    }
    return number
  }

  func truth() throws(CNIError) -> Bool {
    switch text {
    case "true": return true
    case "false": return false
    default: throw failure("is \(quoted(text[...]))", "write true or false")
    }
  }

  /// The file may be anything: what of it gets into a message is short, and on one line.
  private func quoted(_ text: Substring) -> String {
    JSONValue.string(text.utf8.count <= 80 ? String(text) : text.prefix(80) + "…").description
  }
}
