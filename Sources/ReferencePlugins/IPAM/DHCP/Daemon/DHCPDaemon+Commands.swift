import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import SystemPackage

extension DHCPDaemon {
  /// Carries out a request that has come at `arrival`, from when on its time counts; `finish` is called when it is over,
  /// with more of the answer for ADD, and tells whether that was taken.
  func handle(
    _ request: DaemonRequest, since arrival: Duration,
    finish: @escaping (Result<AddResult?, CNIError>) -> Bool
  ) -> LeaseKey? {
    let key = LeaseKey(
      network: request.network,
      attachment: Attachment(containerID: request.containerID, interfaceName: request.interfaceName))
    do {
      switch request.command {
      case .add:
        try add(key, request, since: arrival) { finish($0.map { $0 }) }
        return key
      case .del: release(key, because: "DEL")
      case .check: try check(key, request)
      case .gc: collectGarbage(request)
      case .status: try status()
      }
      _ = finish(.success(nil))
    } catch {
      _ = finish(.failure(CNIError(describing: error)))
    }
    return nil
  }

  private func add(
    _ key: LeaseKey, _ request: DaemonRequest, since arrival: Duration,
    finish: @escaping (Result<AddResult, CNIError>) -> Bool
  ) throws {
    guard !isStopping else { throw CNIError(.tryAgainLater, "the dhcp daemon is being stopped") }
    let path = surroundings.settings.hostPrefix + request.namespace
    let interface: AttachedInterface
    let watch: LinkWatch?
    do {
      (interface, watch) = try AttachedInterface.find(
        path: path, name: key.attachment.interfaceName, families: request.wishes.families,
        home: NetworkNamespace.current())
    } catch {
      throw CNIError(describing: error).prefixed("the dhcp daemon cannot use the interface of \(key)")
    }
    if let present = attachments[key] {
      // A runtime that asks again gets the same answer; a container of that name that is another one does not.
      if present.interface.isSame(as: interface), present.isEstablished, present.wishes == request.wishes,
        present.sessions.allSatisfy({ $0.standing == .held })
      {
        _ = finish(.success(try present.result()))
        return
      }
      log(key, "ADD while there is a lease already, which is given back first")
      present.release(because: "there is another ADD of it")
    }
    absent[key] = nil
    let attachment = LeasedAttachment(
      key: key, interface: interface, clientIdentifier: LeasedAttachment.clientIdentifier(key),
      wishes: request.wishes, daemon: self)
    attachments[key] = attachment
    // Servers know both by the same name: a last word that is said again would be about the new lease.
    for (former, _) in departing where former.key == key { former.close() }
    departing.removeAll { $0.attachment.key == key }
    let allowed = surroundings.settings.patience
    attachment.acquire(
      .init(deadline: arrival + allowed, allowed: allowed, finish: finish), after: watch, at: EventLoop.now)
  }

  /// Ends an ADD that nobody waits for any more.
  func abandon(_ key: LeaseKey) {
    guard let attachment = attachments[key], !attachment.isEstablished else { return }
    log(key, "nobody waits for the ADD any more: it ends")
    attachment.release(because: "nobody waits for it")
  }

  private func check(_ key: LeaseKey, _ request: DaemonRequest) throws(CNIError) {
    guard let attachment = attachments[key], attachment.isEstablished else {
      throw CNIError(
        .internalError, "the dhcp daemon has no lease for \(key)",
        details:
          "it was given back, or another daemon had it: delete the container's attachment, and add it again")
    }
    for session in attachment.sessions {
      if case .lost(let reason) = session.standing {
        throw CNIError(
          .internalError, "\(key) has lost its lease: \(reason)",
          details:
            "the daemon goes on trying to get the same address back (\(session.transcript)); if that fails, the "
            + "container has to be attached anew")
      }
    }
    let held = try attachment.result().ips.map(\.address)
    for address in request.expected where !held.contains(address) {
      throw CNIError(
        .internalError,
        "\(key) was given the address \(address), its lease is for "
          + held.map(\.description).joined(separator: ", "))
    }
  }

  private func collectGarbage(_ request: DaemonRequest) {
    let valid = Set(request.valid)
    // What is being added is nobody's garbage: the runtime learns of it only afterwards.
    let keys = attachments.filter(\.value.isEstablished).map(\.key) + absent.keys
    for key in keys where key.network == request.network && !valid.contains(key.attachment) {
      log(key, "GC: the attachment is not among the valid ones")
      release(key, because: "GC")
    }
  }

  private func status() throws(CNIError) {
    if let missing = Privileges.explanation(needed: [.netAdmin, .netRaw, .sysAdmin]) {
      throw CNIError(.notAvailable, "the dhcp daemon cannot open sockets in containers", details: missing)
    }
    if let failure = store.problem() {
      throw CNIError(.notAvailable, "the dhcp daemon cannot keep leases: \(failure)")
    }
  }
}
