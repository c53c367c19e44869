import CNI
import CNIPluginKit
import DHCP
import Glibc
import NetworkAddresses

/// What dhcp reads from its configuration and arguments.
struct DHCPConfiguration: Sendable {
  static let defaultSocketPath = "/run/cni/dhcp.sock"

  /// The daemon's socket.
  var socketPath = Self.defaultSocketPath
  /// The metric of all routes; `nil`: the kernel's default.
  var priority: Int?
  /// What the daemon is to ask for.
  var wishes = LeaseWishes()

  /// - Parameter onlySocket: reads nothing but `daemonSocketPath`. An attachment must be removable when the rest of its
  ///   configuration has become wrong.
  init(_ call: PluginCall, onlySocket: Bool) throws(CNIError) {
    let configuration = try call.configuration.object()
    guard let ipam = try configuration.object("ipam") else {
      if onlySocket { return }
      throw configuration.missing(
        "ipam", remedy: #"dhcp reads its settings from there: "ipam": {"type": "dhcp"}"#)
    }
    if let path = try ipam.string("daemonSocketPath") {
      guard path.hasPrefix("/"), path.utf8.count <= 107 else {
        throw ipam.failure(
          "daemonSocketPath", "\"\(path)\" cannot be the path of a socket",
          remedy: "it starts with / and has at most 107 bytes; the default is \(Self.defaultSocketPath)")
      }
      socketPath = path
    }
    if onlySocket { return }
    if let number = try ipam.integer("priority", in: 0...Int(UInt32.max)), number != 0 { priority = number }
    wishes.families = try Self.families(ipam)
    for object in try ipam.objects("provide") { try provide(object, call.arguments) }
    try request(ipam.objects("request"))
  }

  private static func families(_ ipam: ConfigurationObject) throws(CNIError) -> [AddressFamily] {
    var families: [AddressFamily] = []
    for value in try ipam.list("families") {
      let family: AddressFamily
      switch try value.string() {
      case "ipv4": family = .ipv4
      case "ipv6": family = .ipv6
      default:
        throw value.failure(
          "\"\(try value.string())\" is not an address family", remedy: "write ipv4 or ipv6")
      }
      if !families.contains(family) { families.append(family) }
    }
    return families.isEmpty ? [.ipv4] : families
  }

  /// An option's name or number.
  private static func option(_ value: ConfigurationValue) throws(CNIError) -> DHCPv4OptionCode {
    var text = ""
    if case .number(let number) = value.json.kind { text = number } else { text = try value.string() }
    guard let code = DHCPv4OptionCode(text) else {
      throw value.failure(
        "\"\(text)\" is not a DHCP option",
        remedy: "write its number from 1 to 254, or its name in dhcp-options(5), such as host-name")
    }
    guard code != .pad, code != .end else {
      throw value.failure("\(text) is not an option but a mark between them", remedy: "options are 1 to 254")
    }
    return code
  }

  /// What only the client itself can know, and what would make its messages others.
  private static let reserved: Set<DHCPv4OptionCode> = [
    .requestedAddress, .overload, .messageType, .serverIdentifier, .parameterRequestList, .maximumMessageSize,
  ]

  private mutating func provide(
    _ object: ConfigurationObject, _ arguments: CNIArguments
  ) throws(CNIError) {
    guard let value = object.value("option"), value.json.string != "" else {
      throw object.missing("option", remedy: "name the option that is provided, such as host-name")
    }
    let code = try Self.option(value)
    guard !Self.reserved.contains(code) else {
      let remedy =
        code == .parameterRequestList ? "use request to ask for options" : "leave it out: the client sets it"
      throw value.failure("option \(code) cannot be provided", remedy: remedy)
    }
    // As with the Go plugin, the argument wins over the value.
    var text = try object.string("value")
    var key = "value"
    if let name = try object.string("fromArg"), let given = arguments[name] {
      text = given
      key = "fromArg"
    }
    guard let text else { return }
    guard text.utf8.count <= 255 else {
      throw object.failure(
        key, "the value of option \(code) has \(text.utf8.count) bytes", remedy: "255 are the most")
    }
    // Without a byte, an option says nothing, and servers take it for a broken one.
    if !text.isEmpty { wishes.provided[code] = Array(text.utf8) }
  }

  private mutating func request(_ objects: [ConfigurationObject]) throws(CNIError) {
    var skipsDefault = false
    for object in objects {
      if try object.flag("skipDefault") { skipsDefault = true }
      guard let value = object.value("option"), value.json.string != "" else { continue }
      let code = try Self.option(value)
      if !wishes.requested.contains(code) { wishes.requested.append(code) }
      if code == .interfaceMTU { wishes.setsMTU = true }
    }
    if skipsDefault { return }
    for code in LeaseWishes.defaultRequest where !wishes.requested.contains(code) {
      wishes.requested.append(code)
    }
  }
}

/// The directory that relative paths begin at.
enum WorkingDirectory {
  static var path: String {
    guard let buffer = getcwd(nil, 0) else { return "" }
    defer { free(buffer) }
    return String(cString: buffer)
  }
}
