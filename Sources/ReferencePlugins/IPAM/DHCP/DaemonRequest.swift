import CNI
import DHCP
import NetworkAddresses

/// What the plugin asks of the daemon: one line of JSON.
///
/// The daemon answers with lines of JSON, the last of which has `done`: for ADD first one that says how long it may take
/// (`milliseconds`), then one with a `result` (of specification 1.1.0) or an `error` (as plugins print them).
struct DaemonRequest: Sendable {
  /// What is to be done.
  enum Command: String, CaseIterable, Sendable {
    case add = "ADD"
    case del = "DEL"
    case check = "CHECK"
    case gc = "GC"
    case status = "STATUS"
  }

  /// Raised when one side would no longer understand the other.
  static let protocolVersion = 1

  var command: Command
  var network: String
  var containerID: String
  var interfaceName: String
  /// The container's network namespace: a path that is absolute, or empty for commands that do without.
  var namespace: String
  var wishes: LeaseWishes
  /// CHECK: the addresses that the container was given.
  var expected: [IPPrefix] = []
  /// GC: the attachments that there are.
  var valid: [Attachment] = []

  init(
    command: Command, network: String, containerID: String, interfaceName: String, namespace: String,
    wishes: LeaseWishes
  ) {
    self.command = command
    self.network = network
    self.containerID = containerID
    self.interfaceName = interfaceName
    self.namespace = namespace
    self.wishes = wishes
  }

  func encode() -> [UInt8] {
    var object: JSONObject = [
      "swiftCNIDHCP": .integer(Self.protocolVersion), "command": .string(command.rawValue),
      "network": .string(network), "container": .string(containerID), "interface": .string(interfaceName),
      "namespace": .string(namespace),
    ]
    if command == .add { object.append("wishes", wishes.encode()) }
    if command == .check { object.append("expected", .array(expected.map { .string($0.description) })) }
    if command == .gc {
      object.append(
        "valid",
        .array(
          valid.map {
            ["container": .string($0.containerID), "interface": .string($0.interfaceName)]
          }))
    }
    return JSONValue.object(object).serialized() + [UInt8(ascii: "\n")]
  }

  /// Reads a line.
  /// - Throws: code 6 for what is not a request, code 1 for one of another protocol.
  init(decoding line: [UInt8]) throws(CNIError) {
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue.parse(line) } catch {
      throw CNIError(.decodingFailure, "the request is not JSON: \(error)")
    }
    let object = try ConfigurationObject(json, name: "request", code: .decodingFailure)
    guard let version = try object.integer("swiftCNIDHCP") else {
      throw object.failure("this is no request of swift-cni's dhcp plugin")
    }
    guard version == Self.protocolVersion else {
      throw CNIError(
        .incompatibleVersion,
        "the dhcp plugin speaks version \(version) of its protocol, the daemon version \(Self.protocolVersion)",
        details: "they are of different releases: restart the daemon (systemctl restart cni-dhcp.service)")
    }
    guard let command = try object.choice("command", Command.self) else { throw object.missing("command") }
    self.init(
      command: command, network: try object.string("network") ?? "",
      containerID: try object.string("container") ?? "", interfaceName: try object.string("interface") ?? "",
      namespace: try object.string("namespace") ?? "", wishes: LeaseWishes())
    if let wishes = try object.object("wishes") { self.wishes = try LeaseWishes(wishes) }
    for value in try object.list("expected") { expected.append(try value.prefix()) }
    for entry in try object.objects("valid") {
      valid.append(
        Attachment(
          containerID: try entry.string("container") ?? "", interfaceName: try entry.string("interface") ?? ""
        ))
    }
  }
}
