import CNI
import CNIExecution
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses

/// `flannel`: gives containers addresses of the subnet that flanneld has leased for this node. Another plugin, `bridge`
/// unless the configuration says otherwise, does the work; this one tells it how.
struct Flannel: Plugin {
  static let type = "flannel"
  static let summary = "has another plugin make interfaces in the subnet that flanneld says this node has"
  /// The delegate does, if it has to.
  static let changesNamespace = false

  /// `subnetFile`.
  let subnetFile: String
  let state: FlannelState
  /// What `delegate` and `ipam` say; for DEL and GC, which come without as well as they can, perhaps only why it is wrong.
  let delegate: Result<FlannelDelegate, CNIError>

  init(_ call: PluginCall) throws {
    let keys = try call.configuration.object()
    state = FlannelState(directory: try keys.string("dataDir") ?? "/var/lib/cni/flannel")
    var subnetFile: String?
    var delegate: Result<FlannelDelegate, CNIError>
    do throws(CNIError) {
      subnetFile = try keys.string("subnetFile")
      delegate = .success(try FlannelDelegate(keys))
    } catch {
      guard call.onlyRemoves else { throw error }
      delegate = .failure(error)
    }
    self.subnetFile = subnetFile ?? "/run/flannel/subnet.env"
    self.delegate = delegate
  }

  // MARK: ADD

  func add(_ call: PluginCall) throws -> AddResult {
    let delegate = try delegate.get()
    let configuration = delegate.configuration(for: try FlannelSubnet(contentsOf: subnetFile))
    // Before anything is written, and anything would have to be undone by it.
    try call.requireDelegate(delegate.type)
    var undo = UndoLog()
    do {
      if try state.save(configuration, for: call, undo: &undo) {
        // Not every plugin undoes an ADD that fails. If there was one before, though, it is not for us to remove.
        undo.register("what the delegate has made") {
          try call.delegate(to: delegate.type, .del, configuration: configuration)
        }
      }
      guard let result = try call.delegate(to: delegate.type, .add, configuration: configuration) else {
        throw CNIError(.decodingFailure, "\(delegate.type) gave no result")
      }
      try result.requireExpressible(in: call.configuration.version)
      return result
    } catch {
      throw undo.rollBack(after: error)
    }
  }

  // MARK: DEL

  func delete(_ call: PluginCall) throws {
    let configuration: JSONObject?
    switch state.saved(call) {
    case .configuration(let saved): configuration = saved
    case .none(let reason): configuration = madeAnew(call, because: reason)
    }
    if let configuration { try call.delegate(.del, as: configuration) }
    try state.remove(call.interfaceName, of: call.containerID, network: call.network)
  }

  /// What the delegate would be told today, which is good enough for removing. `nil` if nobody can say.
  private func madeAnew(_ call: PluginCall, because reason: String) -> JSONObject? {
    do throws(CNIError) {
      let delegate = try delegate.get()
      call.log("\(reason); \(delegate.type) is told what it would be told now")
      return configuration(of: delegate, call).object
    } catch {
      // With such a configuration no ADD can have succeeded.
      call.log("nothing is known of \(call.owner), and nothing can be: \(reason); \(error)")
      return nil
    }
  }

  private func configuration(of delegate: FlannelDelegate, _ call: PluginCall) -> JSONValue {
    do throws(CNIError) {
      return delegate.configuration(for: try FlannelSubnet(contentsOf: subnetFile))
    } catch {
      call.log("\(error); for removing it is not needed")
      return delegate.configurationForRemoval
    }
  }

  // MARK: CHECK

  /// CHECK of what the delegate was told, and whether the node still has the container's subnet: if it has not, the other
  /// nodes send elsewhere what is for the container.
  func check(_ call: PluginCall) throws {
    let saved: JSONObject
    switch state.saved(call) {
    case .configuration(let configuration): saved = configuration
    case .none(let reason):
      throw CNIError(
        .internalError, "what the delegate was told at ADD is not known any more: \(reason)",
        details: "the container's network may be as it was, and DEL can do without")
    }
    try call.delegate(.check, as: saved)
    // While flanneld is away, everything goes on as before.
    guard let node = try? FlannelSubnet(contentsOf: subnetFile) else { return }
    for range in saved["ipam"]?["ranges"]?.array ?? [] {
      guard let subnet = range.array?.first?["subnet"]?.string.flatMap({ IPPrefix($0) }),
        !node.subnets.contains(subnet.network)
      else { continue }
      throw CNIError(
        .internalError,
        "the container's subnet \(subnet) is not this node's any more, which has "
          + node.subnets.map(\.description).joined(separator: " and "),
        details: "other nodes do not reach the container: delete and add the attachment again")
    }
  }

  // MARK: GC and STATUS

  /// GC by the delegate as it is configured now, and by those that stale attachments had.
  func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws {
    var problems: [CNIError] = []
    func attempt(_ step: () throws -> Void) {
      do { try step() } catch { problems.append(CNIError(describing: error)) }
    }
    // Containers differ in what they were given, which is no matter here.
    var done: [JSONObject: Bool] = [:]
    func collect(_ configuration: JSONObject) -> Bool {
      var configuration = configuration
      configuration.removeAll(matching: "runtimeConfig")
      if let done = done[configuration] { return done }
      let before = problems.count
      attempt { try call.delegate(.gc, as: configuration) }
      done[configuration] = problems.count == before
      return problems.count == before
    }
    switch delegate {
    case .success(let delegate):
      if let now = configuration(of: delegate, call).object { _ = collect(now) }
    case .failure(let problem): problems.append(problem)
    }
    attempt {
      for stale in try state.stale(network: call.network, valid: valid) {
        guard collect(stale.configuration) else { continue }
        attempt { try state.remove(stale, network: call.network) }
      }
    }
    if let first = problems.first { throw first }
  }

  /// STATUS: what flanneld says, a place for what is kept, and the delegate.
  func status(_ call: PluginCall) throws {
    let delegate = try delegate.get()
    try reportingUnavailability {
      let subnet = try FlannelSubnet(contentsOf: subnetFile)
      try StateFile.requireWritable(state.directory)
      try call.delegate(to: delegate.type, .status, configuration: delegate.configuration(for: subnet))
    }
  }
}

extension PluginCall {
  /// Calls a delegate with what it was told at another time, and with what the runtime says now: the result of ADD, the
  /// attachments to keep, and the version in which it says so.
  fileprivate func delegate(_ command: Command, as configuration: JSONObject) throws(CNIError) {
    var configuration = configuration
    for key in ["cniVersion", "prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"] {
      guard let member = self.configuration.json.object?.member(matching: key) else { continue }
      configuration.removeAll(matching: key)
      configuration.append(key, member.value)
    }
    try delegate(to: configuration["type"]?.string ?? "", command, configuration: .object(configuration))
  }
}
