import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage

/// The daemon: holds the leases of all attachments on one thread, and does what the plugin asks for.
final class DHCPDaemon {
  let surroundings: LeaseSurroundings
  let store: LeaseFiles
  private let boot = LeaseClocks.currentBoot()
  var attachments: [LeaseKey: LeasedAttachment] = [:]
  /// Leases whose containers cannot be seen at the moment.
  var absent: [LeaseKey: Absence] = [:]
  /// Those that wait for a last word from a server, and until when.
  var departing: [(attachment: LeasedAttachment, until: Duration)] = []
  private(set) var isStopping = false

  /// A file that waits for its container to come into sight: when to look again, and how long to wait after that.
  struct Absence {
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
  func release(_ key: LeaseKey, because reason: String) {
    attachments[key]?.release(because: reason)
    if let absence = absent.removeValue(forKey: key) { store.remove(absence.name) }
  }
}
