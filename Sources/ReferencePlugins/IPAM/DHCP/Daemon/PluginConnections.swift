import CLinux
import Glibc
import SystemPackage

/// The plugins' connections: takes them on, has their requests carried out in the order in which they came, and ends
/// those that say nothing.
final class PluginConnections {
  /// As many are open at most; who comes then waits before the door.
  private static let most = 4096
  /// When to look at the door again that was shut.
  private static let recess = Duration.milliseconds(100)

  private let listener: Int32
  private let daemon: DHCPDaemon
  private let loop: EventLoop
  private var connections: [ObjectIdentifier: PluginConnection] = [:]
  private var queue: [PluginConnection] = []
  private var listensAt: Duration?

  init(listener: Int32, daemon: DHCPDaemon, loop: EventLoop) {
    self.listener = listener
    self.daemon = daemon
    self.loop = loop
  }

  func listen() throws(Errno) {
    listensAt = nil
    try loop.watch(listener) { [weak self] _ in self?.accept() }
  }

  private func accept() {
    // Bounded: others want their turn; the loop comes back to what is left.
    for _ in 0..<64 {
      guard connections.count < Self.most else { return pause() }
      let socket = clinux_accept(listener)
      guard socket >= 0 else {
        // Without a descriptor left, who waits would wake the loop over and over.
        if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) { pause() }
        return
      }
      do throws(Errno) {
        let connection = try PluginConnection(
          socket: socket, daemon: daemon, loop: loop, onRequest: { [unowned self] in self.queue.append($0) },
          onEnd: { [unowned self] in self.connections[ObjectIdentifier($0)] = nil })
        connections[ObjectIdentifier(connection)] = connection
      } catch { close(socket) }
    }
  }

  private func pause() {
    loop.stopWatching(listener)
    listensAt = EventLoop.now + Self.recess
  }

  /// When to go on at the latest.
  var nextDeadline: Duration? {
    if !queue.isEmpty { return .zero }
    return (connections.values.map(\.deadline) + [listensAt]).compactMap(\.self).min()
  }

  /// Carries out one request: between two of them comes whatever servers and other plugins have sent.
  func carryOutNext() {
    if !queue.isEmpty { queue.removeFirst().carryOut() }
  }

  /// Does what is due.
  func advance(to now: Duration) {
    for connection in Array(connections.values) {
      if let limit = connection.deadline, limit <= now { connection.close() }
    }
    if let listensAt, listensAt <= now {
      do throws(Errno) { try listen() } catch { self.listensAt = now + Self.recess }
    }
  }
}
