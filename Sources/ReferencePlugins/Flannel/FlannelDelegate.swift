import CNI
import NetworkAddresses

/// The plugin that does the work for `flannel`, and what it is told: `delegate` and `ipam` of the configuration, completed
/// by what flanneld says of this node.
struct FlannelDelegate: Sendable {
  /// `delegate.type`.
  let type: String
  private var keys: JSONObject
  private let ipam: JSONObject
  private let ipamType: String
  private let routes: [RouteConfiguration]

  /// Reads the keys `delegate`, `ipam`, `runtimeConfig`, `name` and `cniVersion` of a call's configuration.
  ///
  /// - Throws: `CNIError` with code 6 or 7.
  init(_ configuration: ConfigurationObject) throws(CNIError) {
    // What they mean is the business of those who get them.
    configuration.ignore("delegate", "ipam")
    let delegate = try configuration.value("delegate")?.object()
    delegate?.ignoreAll()
    try delegate?.refuse("name", remedy: "remove it: the delegate's network has the name of this one")
    try delegate?.refuse("ipam", remedy: "move it out of \"delegate\", beside it")
    type = try Self.type(delegate)
    keys = delegate?.members ?? JSONObject()

    let ipam = try configuration.value("ipam")?.object()
    ipam?.ignoreAll()
    self.ipam = ipam?.members ?? JSONObject()
    ipamType = try ipam?.string("type") ?? "host-local"
    var routes: [RouteConfiguration] = []
    for route in try ipam?.objects("routes") ?? [] { routes.append(try RouteConfiguration(route)) }
    self.routes = routes

    if let runtime = configuration.value("runtimeConfig") { keys.set("runtimeConfig", runtime.json) }
    keys.set("name", .string(try configuration.string("name") ?? ""))
    keys.set("type", .string(type))
    if let version = try configuration.string("cniVersion") { keys.set("cniVersion", .string(version)) }
  }

  private static func type(_ delegate: ConfigurationObject?) throws(CNIError) -> String {
    guard let delegate, let type = try delegate.string("type") else { return "bridge" }
    do throws(CNIError) { try Validation.pluginType(type) } catch {
      throw delegate.failure("type", "is not the name of a plugin", remedy: "for example \"bridge\"")
    }
    guard type != Flannel.type else {
      throw delegate.failure(
        "type", "is flannel itself, which would call itself for ever",
        remedy: "name the plugin that makes the interface, for example \"bridge\"")
    }
    return type
  }

  /// The delegate's configuration for a node with that subnet.
  ///
  /// Keys of `delegate` come before what would be generated; of `ipam`, `ranges` are replaced and `routes` added to.
  func configuration(for subnet: FlannelSubnet) -> JSONValue {
    var ranges: [JSONValue] = []
    for prefix in subnet.subnets { ranges.append([["subnet": .string(prefix.description)]]) }
    return configuration(
      ranges: ranges, networks: subnet.networks,
      defaults: [("ipMasq", .bool(!subnet.masquerades)), ("mtu", .integer(subnet.mtu))])
  }

  /// As much of it as can be said when the node's subnet is not known: enough to remove an attachment, nothing else.
  ///
  /// Plugins remove by container, yet some refuse to begin without a range, or look for masquerading only if it was asked
  /// for. The range is one of addresses that nobody has (RFC 5737).
  var configurationForRemoval: JSONValue {
    configuration(
      ranges: [[["subnet": "192.0.2.0/24"]]], networks: [], defaults: [("ipMasq", true)])
  }

  private func configuration(
    ranges: [JSONValue], networks: [IPPrefix], defaults: [(String, JSONValue)]
  ) -> JSONValue {
    // The members of all objects are in the order of their keys, as the Go plugin writes them; but not those of routes.
    var ipam = ipam
    ipam.set("type", .string(ipamType))
    ipam.set("ranges", .array(ranges))
    ipam.set("routes", [])
    ipam.sortKeys()
    ipam["routes"] = .array(
      (routes + networks.map { RouteConfiguration(destination: $0) }).map { $0.encode() })

    var keys = keys
    for (key, value) in defaults { keys.setDefault(key, value) }
    if type == "bridge" { keys.setDefault("isGateway", true) }
    keys.set("ipam", .null)
    keys.sortKeys()
    keys["ipam"] = .object(ipam)
    return .object(keys)
  }
}

extension ConfigurationObject {
  /// Marks all keys as known.
  fileprivate func ignoreAll() { for key in members.keys { ignore(key) } }

  fileprivate func refuse(_ key: String, remedy: String) throws(CNIError) {
    if value(key) != nil { throw failure(key, "is set by flannel", remedy: remedy) }
  }
}

extension JSONObject {
  /// Puts a value in place of all that a reader might take for this key.
  fileprivate mutating func set(_ key: String, _ value: JSONValue) {
    removeAll(matching: key)
    append(key, value)
  }

  /// The same, unless there is one. `null` is none.
  fileprivate mutating func setDefault(_ key: String, _ value: JSONValue) {
    if let present = member(matching: key), !present.value.isNull { return }
    set(key, value)
  }

  /// Puts the members of the object, and of all objects in it, in the order of their keys.
  fileprivate mutating func sortKeys() {
    self = JSONObject(
      members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map {
        ($0.key, $0.value.sortedByKey)
      })
  }
}

extension JSONValue {
  fileprivate var sortedByKey: JSONValue {
    switch kind {
    case .object(var object):
      object.sortKeys()
      return .object(object)
    case .array(let values): return .array(values.map(\.sortedByKey))
    default: return self
    }
  }
}
