import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage

/// The daemon: holds the leases of all attachments on one thread, and does what the plugin asks for.
final class DHCPDaemon {
  let surroundings: LeaseSurroundings
  private let store: LeaseFiles
  private let boot = LeaseClocks.currentBoot()
  private var attachments: [LeaseKey: LeasedAttachment] = [:]
  /// Leases whose containers cannot be seen at the moment.
  private var absent: [LeaseKey: Absence] = [:]
  /// Those that wait for a last word from a server, and until when.
  private var departing: [(attachment: LeasedAttachment, until: Duration)] = []
  private var isStopping = false

  /// A file that waits for its container to come into sight: when to look again, and how long to wait after that.
  private struct Absence {
    let name: String
    var next: Duration
    var pause = Duration.seconds(1)
  }

  init(settings: DaemonSettings, loop: EventLoop, slowWork: SlowWork) throws {
    surroundings = LeaseSurroundings(loop: loop, slowWork: slowWork, settings: settings)
    store = try LeaseFiles(directory: settings.hostPrefix + settings.stateDirectory)
  }

  /// Writes a line to the log.
  func log(_ message: String) { DaemonLog.write(message) }
  /// Writes a line about an attachment.
  func log(_ key: LeaseKey, _ message: String) { DaemonLog.write("\(key): \(message)") }

  // MARK: Running

  /// When ``advance(to:)`` is next to be called.
  var nextDeadline: Duration? {
    var next = (departing.map(\.until) + absent.values.map(\.next)).min()
    for attachment in attachments.values {
      if let deadline = attachment.nextDeadline { next = min(next ?? deadline, deadline) }
    }
    for (attachment, _) in departing {
      if let deadline = attachment.nextDeadline { next = min(next ?? deadline, deadline) }
    }
    return next
  }

  /// Does what is due.
  func advance(to now: Duration) {
    for attachment in Array(attachments.values) { attachment.advance(to: now) }
    for (attachment, _) in departing { attachment.advance(to: now) }
    for (key, absence) in absent where absence.next <= now { lookAgain(key, absence) }
    departing.removeAll { attachment, until in
      guard attachment.isDone || until <= now else { return false }
      attachment.close()
      return true
    }
  }

  /// Ends everything but the leases.
  func stop() {
    isStopping = true
    for attachment in attachments.values {
      if attachment.isEstablished {
        attachment.suspend()
      } else {
        attachment.release(because: "the dhcp daemon is being stopped")
      }
    }
    attachments = [:]
  }

  // MARK: Attachments

  /// Puts the attachment's leases into their file, which from then on outlives this process; it is brought to the disk
  /// right afterwards, but nobody waits for that: a power cut ends the containers, too.
  ///
  /// - Returns: Why that could not be done.
  @discardableResult
  func keep(_ attachment: LeasedAttachment) -> FileError? {
    let records = attachment.sessions.compactMap { session in
      session.record.map { (family: session.family, record: $0) }
    }
    let file = LeaseFile(
      key: attachment.key, interface: attachment.interface, clientIdentifier: attachment.clientIdentifier,
      wishes: attachment.wishes, records: records)
    let bytes = file.encode(clocks: .now(boot: boot), prefix: surroundings.settings.hostPrefix)
    let (store, name) = (store, attachment.key.fileName)
    if let failure = store.write(bytes, name) {
      log(attachment.key, "the lease is not kept, a restart of the daemon will lose it: \(failure)")
      return failure
    }
    surroundings.slowWork.perform { store.sync(name) }
    return nil
  }

  /// Forgets an attachment.
  func remove(_ attachment: LeasedAttachment) {
    if attachments[attachment.key] === attachment { attachments[attachment.key] = nil }
    if !attachment.isDone { departing.append((attachment, EventLoop.now + .seconds(2))) }
    store.remove(attachment.key.fileName)
  }

  /// Takes up the leases of a former process.
  func loadLeases() {
    let clocks = LeaseClocks.now(boot: boot)
    var count = 0
    for name in store.names() {
      do throws(CNIError) {
        if try load(name, clocks) { count += 1 }
      } catch {
        log("\(error); it is left where it is, and nothing is done about it")
      }
    }
    if count > 0 { log("\(count) leases of before go on") }
  }

  private func load(_ name: String, _ clocks: LeaseClocks) throws(CNIError) -> Bool {
    var records: [LeaseRecord] = []
    let path = store.path(name)
    let prefix = surroundings.settings.hostPrefix
    let file = try LeaseFile(reading: store.read(name), name: path, clocks: clocks, prefix: prefix) {
      family, object, offset throws(CNIError) in
      switch family {
      case .ipv4: records.append(.ipv4(try DHCPv4LeaseRecord(object, offset: offset)))
      case .ipv6: records.append(.ipv6(try DHCPv6LeaseRecord(object, offset: offset)))
      }
    }
    guard file.key.fileName == name else {
      throw CNIError(.decodingFailure, "\(path) has the lease of \(file.key), which is another name's")
    }
    guard attachments[file.key] == nil else { return false }
    do {
      try file.interface.enter(from: NetworkNamespace.current()) {}
    } catch {
      let ends = records.map { $0.end ?? .seconds(Int64.max / 2) }.max() ?? .zero
      if let gone = error as? AttachedInterface.Gone,
        gone.isCertain || !file.isOfThisBoot || ends <= clocks.bootTime
      {
        log(file.key, "\(gone); its lease will run out")
        absent[file.key] = nil
        store.remove(name)
      } else {
        wait(for: file.key, name, because: "\(error)")
      }
      return false
    }
    absent[file.key] = nil
    let attachment = LeasedAttachment(
      key: file.key, interface: file.interface, clientIdentifier: file.clientIdentifier, wishes: file.wishes,
      daemon: self)
    attachments[file.key] = attachment
    attachment.resume(records, at: clocks.bootTime)
    return true
  }

  /// The path may not be mounted yet, or the daemon be started with another prefix: a lease is not forgotten for that.
  private func wait(for key: LeaseKey, _ name: String, because reason: String) {
    if absent[key] == nil {
      log(key, "\(reason); its lease is kept until it runs out, should the container come into sight")
    }
    var absence = absent[key] ?? Absence(name: name, next: .zero)
    absence.next = EventLoop.now + absence.pause
    absence.pause = min(absence.pause * 2, .seconds(60))
    absent[key] = absence
  }

  private func lookAgain(_ key: LeaseKey, _ absence: Absence) {
    do throws(CNIError) {
      if try load(absence.name, .now(boot: boot)) { log(key, "the container is in sight, its lease goes on") }
    } catch {
      log(key, "\(error)")
      absent[key] = nil
    }
  }

  /// Ends what there is of an attachment.
  private func release(_ key: LeaseKey, because reason: String) {
    attachments[key]?.release(because: reason)
    if let absence = absent.removeValue(forKey: key) { store.remove(absence.name) }
  }

  // MARK: Commands

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
