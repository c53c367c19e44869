import CNI
import CNIPluginKit
import NetworkAddresses

/// What host-local reads from its configuration and arguments.
struct HostLocalConfiguration: Sendable {
  /// Where the directories of all networks are; empty for the default.
  let dataDirectory: String
  /// A file in the format of resolv.conf(5) to take the result's DNS settings from.
  var resolverFile: String?
  var routes: [RouteConfiguration] = []
  /// In the order in which addresses are reported: those of the caller (`runtimeConfig.ipRanges`), the one of the old
  /// form (`ipam.subnet`), those of `ipam.ranges`.
  var sets: [RangeSet] = []
  /// Addresses that the caller asks for, each once.
  var requested: [IPAddress] = []

  /// - Parameter onlyDirectory: reads nothing but `dataDir`. An attachment must be removable when the rest of its
  ///   configuration has become wrong.
  init(_ call: PluginCall, onlyDirectory: Bool) throws(CNIError) {
    let configuration = try call.configuration.object()
    guard let ipam = try configuration.object("ipam") else {
      throw configuration.missing("ipam", remedy: "host-local reads its ranges from ipam.ranges")
    }
    dataDirectory = try ipam.string("dataDir") ?? ""
    if onlyDirectory { return }

    resolverFile = try ipam.string("resolvConf")
    for route in try ipam.objects("routes") { routes.append(try RouteConfiguration(route)) }
    let runtime = try configuration.object("runtimeConfig")
    sets = try Self.sets(ipam, runtime, call.configuration.version)
    requested = try Self.requested(call, try configuration.object("args")?.object("cni"), runtime)
  }

  // MARK: Ranges

  private static func sets(
    _ ipam: ConfigurationObject, _ runtime: ConfigurationObject?, _ version: SpecVersion
  ) throws(CNIError) -> [RangeSet] {
    var sets: [RangeSet] = []
    for value in try runtime?.list("ipRanges") ?? [] { try append(set(value), value.failure, to: &sets) }
    if let old = try range(ipam) {
      try append(RangeSet(old), { ipam.failure("subnet", $0, remedy: $1, code: $2) }, to: &sets)
    }
    for value in try ipam.list("ranges") { try append(set(value), value.failure, to: &sets) }

    guard !sets.isEmpty else {
      throw ipam.missing(
        "ranges", remedy: #"give it at least one subnet: "ranges": [[{"subnet": "10.22.0.0/16"}]]"#)
    }
    let perFamily = max(sets.count { $0.family == .ipv4 }, sets.count { $0.family == .ipv6 })
    guard perFamily == 1 || version >= .v0_3_0 else {
      throw ipam.failure(
        "ranges", "cniVersion \(version.rawValue) has room for one address per family only",
        remedy: "raise cniVersion to 0.3.0 or later, or leave one range set per family")
    }
    return sets
  }

  private static func append(
    _ set: RangeSet, _ failure: (String, String, CNIError.Code?) -> CNIError, to sets: inout [RangeSet]
  ) throws(CNIError) {
    if let other = sets.firstIndex(where: { $0.overlaps(set) }) {
      throw failure(
        "\(set) overlaps with range set \(other), \(sets[other])",
        "each address must be in one range set only", nil)
    }
    sets.append(set)
  }

  private static func set(_ value: ConfigurationValue) throws(CNIError) -> RangeSet {
    var ranges: [AddressRange] = []
    for element in try value.list() {
      let object = try element.object()
      guard let range = try range(object) else {
        throw object.missing("subnet", remedy: "write it as address/length, for example 10.22.0.0/16")
      }
      ranges.append(range)
    }
    do throws(RangeMistake) { return try RangeSet(ranges) } catch { throw value.failure(error.message) }
  }

  /// `nil` without a subnet: in the old form, the other keys then mean nothing.
  private static func range(_ object: ConfigurationObject) throws(CNIError) -> AddressRange? {
    guard let subnet = try object.prefix("subnet") else { return nil }
    let first = try object.address("rangeStart")
    let last = try object.address("rangeEnd")
    let gateway = try object.address("gateway")
    do throws(RangeMistake) {
      return try AddressRange(subnet: subnet, first: first, last: last, gateway: gateway)
    } catch { throw object.failure(error) }
  }

  // MARK: Requested addresses

  private static func requested(
    _ call: PluginCall, _ arguments: ConfigurationObject?, _ runtime: ConfigurationObject?
  ) throws(CNIError) -> [IPAddress] {
    try call.arguments.validate(known: PluginCall.conventionalArguments)
    var addresses: [IPAddress] = []
    if let text = call.arguments["IP"], !text.isEmpty {
      guard let address = Self.address(text) else {
        throw CNIError(
          .invalidEnvironment, "CNI_ARGS: IP=\(text) is not an IP address",
          details: "host-local takes one address, with or without the length of its subnet")
      }
      addresses.append(address)
    }
    for value in try (arguments?.list("ips") ?? []) + (runtime?.list("ips") ?? []) {
      guard let address = Self.address(try value.string()) else {
        throw value.failure(
          "\"\(try value.string())\" is not an IP address",
          remedy: "write it as 10.22.0.5, fd00::5 or 10.22.0.5/16")
      }
      if !addresses.contains(address) { addresses.append(address) }
    }
    return addresses
  }

  /// The length of the subnet may be there, and is not looked at: that of the range counts.
  private static func address(_ text: String) -> IPAddress? {
    (IPAddress(text) ?? IPPrefix(text)?.address)?.unmapped
  }

  /// What to ask of each range set, the requested addresses spread over them.
  /// - Throws: code 7 if a requested address is in no set, or the second one in its set.
  func requests() throws(CNIError) -> [LeaseStore.Request] {
    var rest = requested
    var requests: [LeaseStore.Request] = []
    for (number, set) in sets.enumerated() {
      let index = rest.firstIndex(where: set.contains)
      requests.append(.init(set: set, number: number, address: index.map { rest.remove(at: $0) }))
    }
    guard rest.isEmpty else {
      throw CNIError(
        .invalidConfiguration,
        "not all requested addresses can be given: \(rest.map(\.description).joined(separator: ", "))",
        details: "each range set gives one address; the range sets are "
          + sets.map(\.description).joined(separator: "; "))
    }
    return requests
  }
}

extension ConfigurationObject {
  fileprivate func failure(_ mistake: RangeMistake) -> CNIError {
    mistake.key.map { failure($0, mistake.message) } ?? failure(mistake.message)
  }
}
