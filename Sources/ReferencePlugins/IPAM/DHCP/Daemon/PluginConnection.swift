import CNI
import Glibc
import SystemPackage

/// A connection of a plugin: takes one request, and stays until that is answered.
final class PluginConnection {
  /// For how long a plugin may be silent.
  static let patience = Duration.seconds(5)
  /// For how long commands without waiting may take when many come at once.
  private static let briefly = Duration.seconds(30)
  private static let longestRequest = 1 << 20

  private let socket: Int32
  private let daemon: DHCPDaemon
  private let loop: EventLoop
  private let onRequest: (PluginConnection) -> Void
  private let onEnd: (PluginConnection) -> Void
  private var input: [UInt8] = []
  private var pending: LeaseKey?
  private var isAnswered = false
  private var hasRequest = false
  private var request: (request: DaemonRequest, arrival: Duration)?
  private(set) var isOpen = true
  /// When to end if there is no whole request by then; `nil` once there is.
  private(set) var deadline: Duration?

  init(
    socket: Int32, daemon: DHCPDaemon, loop: EventLoop, onRequest: @escaping (PluginConnection) -> Void,
    onEnd: @escaping (PluginConnection) -> Void
  ) throws(Errno) {
    self.socket = socket
    self.daemon = daemon
    self.loop = loop
    self.onRequest = onRequest
    self.onEnd = onEnd
    deadline = EventLoop.now + Self.patience
    try loop.watch(socket) { [weak self] _ in self?.readable() }
  }

  private func readable() {
    var chunk = [UInt8](repeating: 0, count: 4096)
    while isOpen {
      let count = read(socket, &chunk, chunk.count)
      if count > 0 {
        input += chunk[..<count]
        if input.count > Self.longestRequest {
          answer(
            .failure(CNIError(.decodingFailure, "the request is longer than \(Self.longestRequest) bytes")))
          return
        }
        continue
      }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) { break }
      // The plugin is gone, or has said all it has to say.
      takeRequest()
      return close()
    }
    takeRequest()
  }

  private func takeRequest() {
    guard isOpen, !hasRequest, let newline = input.firstIndex(of: UInt8(ascii: "\n")) else { return }
    hasRequest = true
    deadline = nil
    let line = Array(input[..<newline])
    if line.starts(with: "CONNECT ".utf8) { return refuseGoPlugin() }
    do throws(CNIError) {
      let request = try DaemonRequest(decoding: line)
      // At once: where many call together, what follows may have to wait.
      let allowed = request.command == .add ? daemon.surroundings.settings.patience : Self.briefly
      send([
        "swiftCNIDHCP": .integer(DaemonRequest.protocolVersion),
        "milliseconds": .integer(allowed.milliseconds),
      ])
      self.request = (request, EventLoop.now)
      onRequest(self)
    } catch {
      answer(.failure(error))
    }
  }

  /// Carries the request out, unless the plugin is gone.
  func carryOut() {
    guard isOpen, let request else { return }
    self.request = nil
    let key = daemon.handle(request.request, since: request.arrival) { [weak self] in
      self?.answer($0) ?? false
    }
    if !isAnswered { pending = key }
  }

  /// The Go plugin opens with HTTP, and shows the status of an answer that it does not like.
  private func refuseGoPlugin() {
    let status =
      "HTTP/1.0 421 this is the dhcp daemon of swift-cni, which the Go dhcp plugin cannot talk to: "
      + "use swift-cni's dhcp plugin, or stop this daemon and start the Go one\n\n"
    write(Array(status.utf8))
    close()
  }

  /// Whether the answer has reached the plugin's socket.
  @discardableResult
  private func answer(_ outcome: Result<AddResult?, CNIError>) -> Bool {
    guard isOpen, !isAnswered else { return false }
    isAnswered = true
    pending = nil
    var object: JSONObject = ["swiftCNIDHCP": .integer(DaemonRequest.protocolVersion), "done": .bool(true)]
    switch outcome {
    case .success(let result?):
      do throws(CNIError) { object.append("result", try result.encode(as: .v1_1_0)) } catch {
        object.append("error", error.json(version: nil))
      }
    case .success(nil): break
    case .failure(let error): object.append("error", error.json(version: nil))
    }
    let isSent = send(object)
    close()
    return isSent
  }

  @discardableResult
  private func send(_ object: JSONObject) -> Bool {
    write(JSONValue.object(object).serialized() + [UInt8(ascii: "\n")])
  }

  /// Whether all could be written. Answers are far smaller than a socket's buffer: what does not fit at once has a reader that does not read.
  @discardableResult
  private func write(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes {
      Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) == $0.count
    }
  }

  /// Ends the connection; an ADD that it waited for ends as well.
  func close() {
    guard isOpen else { return }
    isOpen = false
    loop.stopWatching(socket)
    Glibc.close(socket)
    if let pending { daemon.abandon(pending) }
    onEnd(self)
  }
}
