import CNI
import CNIPluginKit
import NetworkAddresses

/// The IPAM plugin `dhcp`: has addresses leased from a DHCP server, by a daemon that keeps the leases alive.
///
/// The plugin itself only talks to the daemon (`dhcp daemon`), through a socket of the host.
struct DHCPPlugin: Plugin {
  static let type = "dhcp"
  static let summary =
    "IP address management by a DHCP server; `dhcp daemon` runs the daemon that it needs"
  /// The daemon enters the container's namespace, the plugin does not: false.
  static let changesNamespace = false

  private let configuration: DHCPConfiguration

  init(_ call: PluginCall) throws(CNIError) {
    let removes = call.command == .del || call.command == .gc
    configuration = try DHCPConfiguration(call, onlySocket: removes)
  }

  /// Has the daemon get a lease, or the one that it holds for the attachment already.
  /// - Throws: code 11 when no server gave an address in time, or the daemon is not there.
  func add(_ call: PluginCall) throws -> AddResult {
    let reply = try DaemonConnection(configuration.socketPath).call(request(call, .add))
    guard let json = reply["result"] else {
      throw CNIError(.internalError, "the dhcp daemon answered ADD without a result")
    }
    var result = try AddResult.decode(json, name: "the dhcp daemon's answer")
    if let priority = configuration.priority {
      for index in result.routes.indices { result.routes[index].priority = priority }
    }
    return result
  }

  /// Has the daemon give the lease back.
  ///
  /// Without a daemon this succeeds, and says so on standard error: the container has to go all the same, and a daemon
  /// that comes back finds its interface gone and lets the lease end.
  func delete(_ call: PluginCall) throws(CNIError) {
    do throws(DaemonFailure) {
      _ = try DaemonConnection(configuration.socketPath).exchange(request(call, .del))
    } catch {
      guard error.isDaemonAbsent else { throw error.cniError }
      call.log("\(call.owner): the lease could not be given back and will run out; \(error.cniError)")
    }
  }

  /// The daemon must hold the lease, and it must be the one of the previous result.
  func check(_ call: PluginCall) throws {
    var request = request(call, .check)
    request.expected = try call.configuration.prevResult()?.ips.map(\.address) ?? []
    _ = try DaemonConnection(configuration.socketPath).call(request)
  }

  /// Has the daemon give back the network's leases of all attachments but the valid ones.
  func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws {
    var request = request(call, .gc)
    request.valid = Array(valid)
    _ = try DaemonConnection(configuration.socketPath).call(request)
  }

  /// Whether the daemon answers, and could serve an ADD.
  /// - Throws: code 50.
  func status(_ call: PluginCall) throws {
    do throws(CNIError) {
      _ = try DaemonConnection(configuration.socketPath).call(request(call, .status))
    } catch {
      throw CNIError(.notAvailable, error.message, details: error.details)
    }
  }

  private func request(_ call: PluginCall, _ command: DaemonRequest.Command) -> DaemonRequest {
    DaemonRequest(
      command: command, network: call.network, containerID: call.containerID,
      interfaceName: call.interfaceName, namespace: absolute(call.namespacePath), wishes: configuration.wishes
    )
  }

  /// The daemon has a working directory of its own.
  private func absolute(_ path: String) -> String {
    guard !path.isEmpty, !path.hasPrefix("/") else { return path }
    return WorkingDirectory.path + "/" + path
  }
}
