import CNI
import CNIPluginKit
import NetworkAddresses

/// The keys of the `tuning` plugin's configuration.
struct TuningConfiguration: Sendable {
  /// `dataDir`: where is kept what was before.
  var dataDirectory = "/run/cni/tuning"
  /// `sysctl`, and `args.cni.sysctl` over it; in the order in which they are written.
  var sysctls: [SysctlSetting] = []
  /// `mac`, `mtu`, `promisc`, `allmulti`, `txQLen`, and the same of `args.cni` over them.
  var link = LinkTuning()

  var isEmpty: Bool { sysctls.isEmpty && link.isEmpty }

  init(_ call: PluginCall) throws(CNIError) {
    let keys = try call.configuration.object()
    if call.onlyRemoves {
      // That is all that removing needs. A mistake must not keep anything from being removed.
      if let directory = (try? keys.string("dataDir")) ?? nil { dataDirectory = directory }
      return
    }
    dataDirectory = try keys.string("dataDir") ?? dataDirectory
    let arguments = try keys.object("args")?.object("cni")
    func first<T>(_ read: (ConfigurationObject) throws(CNIError) -> T?) throws(CNIError) -> T? {
      if let arguments, let value = try read(arguments) { return value }
      return try read(keys)
    }

    // STATUS has no interface.
    let interface = call.interfaceName.isEmpty ? "IFNAME" : call.interfaceName
    try addSettings(of: keys, interface: interface)
    if let arguments { try addSettings(of: arguments, interface: interface) }
    link.mac = try call.requestedMAC(elseKey: "mac", argumentsFirst: true)
    let mtu = try first { (keys) throws(CNIError) in try keys.integer("mtu", in: 0...65535) }
    // 0 is what callers send who mean none.
    link.mtu = mtu == 0 ? nil : mtu.map { UInt32($0) }
    link.isPromiscuous = try first { (keys) throws(CNIError) in try keys.bool("promisc") }
    link.receivesAllMulticast = try first { (keys) throws(CNIError) in try keys.bool("allmulti") }
    link.transmitQueueLength = try first { (keys) throws(CNIError) in
      try keys.integer("txQLen", in: 0...Int(UInt32.max))
    }.map { UInt32($0) }
  }

  /// Adds the settings of an object's `sysctl`. What an earlier object says of the same setting is replaced.
  private mutating func addSettings(of holder: ConfigurationObject, interface: String) throws(CNIError) {
    guard let object = try holder.object("sysctl") else { return }
    let earlier = sysctls.count
    for member in object.members.members {
      guard let value = try object.text(member.key) else { continue }
      let setting = try Self.setting(member.key, value, of: object, interface: interface)
      guard let index = sysctls.firstIndex(where: { $0.path == setting.path }) else {
        sysctls.append(setting)
        continue
      }
      guard index < earlier || SysctlSetting.same(sysctls[index].value, setting.value) else {
        throw object.failure(
          member.key, "is the setting that \(sysctls[index].key) names, too, with another value",
          remedy: "remove one of the two")
      }
      sysctls[index] = setting
    }
  }

  private static func setting(
    _ key: String, _ value: String, of object: ConfigurationObject, interface: String
  ) throws(CNIError) -> SysctlSetting {
    do throws(SysctlMistake) {
      return try SysctlSetting(key, value, interface: interface)
    } catch {
      switch error {
      case .malformed:
        throw object.failure(
          key, "is not the name of a kernel setting",
          remedy: "write it as net.ipv4.conf.IFNAME.arp_notify or net/ipv4/conf/IFNAME/arp_notify")
      case .notOfNetwork:
        throw object.failure(
          key, "is not a setting of the container's network",
          remedy: "only settings that begin with net. can be set: all others are the whole host's")
      }
    }
  }
}
