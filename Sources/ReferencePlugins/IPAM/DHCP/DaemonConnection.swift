import CLinux
import CNI
import CNIPluginKit
import Glibc
import SystemPackage

/// Why the daemon did not do what it was asked to.
struct DaemonFailure: Error, Sendable {
  let cniError: CNIError
  /// Whether there is no daemon, or none that understands, in contrast to one that says no.
  let isDaemonAbsent: Bool
}

/// The plugin's connection with the daemon: one request, its answer, and an end to the waiting.
struct DaemonConnection {
  /// For how long a daemon that is well may be silent.
  static let patience = 10_000
  private static let remedy =
    "start it: systemctl enable --now cni-dhcp.socket cni-dhcp.service, or run \"dhcp daemon\" from the plugin directory"

  private let path: String

  init(_ path: String) { self.path = path }

  /// The answer to a request, or the error that it was answered with, or why there is none.
  func call(_ request: DaemonRequest) throws(CNIError) -> JSONValue {
    do throws(DaemonFailure) { return try exchange(request) } catch { throw error.cniError }
  }

  /// Sends a request and waits for its answer: as long as the daemon says that it may take, and a little longer.
  func exchange(_ request: DaemonRequest) throws(DaemonFailure) -> JSONValue {
    let socket = clinux_unix_connect(path, Int32(Self.patience))
    guard socket >= 0 else { throw unreachable(Errno(rawValue: errno)) }
    defer { close(socket) }
    let line = request.encode()
    guard
      line.withUnsafeBytes({ send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) })
        == line.count
    else { throw absent(.tryAgainLater, "the dhcp daemon at \(path) takes no requests", "") }

    var reader = LineReader(socket: socket)
    var limit = Self.patience
    while true {
      let bytes = try nextLine(&reader, within: limit)
      if bytes.starts(with: "HTTP/".utf8) { throw goDaemon }
      guard let answer = try? JSONValue.parse(bytes), answer["swiftCNIDHCP"] != nil else {
        throw absent(
          .internalError, "what listens at \(path) is not the dhcp daemon of swift-cni",
          "it answered \(String(decoding: bytes.prefix(60), as: UTF8.self)); stop it, and "
            + Self.remedy)
      }
      if let error = answer["error"].flatMap({ CNIError(json: $0) }) {
        throw DaemonFailure(cniError: error, isDaemonAbsent: false)
      }
      if answer["done"]?.bool == true { return answer }
      if let allowed = answer["milliseconds"]?.integer(as: Int.self) {
        limit = min(allowed, 1 << 30) + Self.patience
      }
    }
  }

  private func nextLine(_ reader: inout LineReader, within limit: Int) throws(DaemonFailure) -> [UInt8] {
    switch reader.next(milliseconds: limit) {
    case .line(let bytes): return bytes
    case .ended:
      throw absent(
        .tryAgainLater, "the dhcp daemon at \(path) ended while it was at work", "see its log; " + Self.remedy
      )
    case .late:
      throw absent(
        .tryAgainLater, "the dhcp daemon at \(path) has not answered within \(limit / 1000) seconds",
        "see its log (journalctl -u cni-dhcp); restart it: systemctl restart cni-dhcp.service")
    }
  }

  private func unreachable(_ errno: Errno) -> DaemonFailure {
    switch errno {
    case .noSuchFileOrDirectory:
      absent(.tryAgainLater, "the dhcp daemon is not running: there is no socket \(path)", Self.remedy)
    case .connectionRefused:
      absent(.tryAgainLater, "the dhcp daemon is not running: nobody listens at \(path)", Self.remedy)
    case .wouldBlock, .resourceTemporarilyUnavailable:
      absent(
        .tryAgainLater, "the dhcp daemon at \(path) is too busy to take a connection",
        "see its log (journalctl -u cni-dhcp)")
    default:
      DaemonFailure(
        cniError: CNIError(.ioFailure, "cannot connect to the dhcp daemon at \(path): \(errno)"),
        isDaemonAbsent: false)
    }
  }

  /// The Go daemon speaks its own remote procedure calls, over HTTP.
  private var goDaemon: DaemonFailure {
    absent(
      .tryAgainLater,
      "the dhcp daemon at \(path) is the one of the Go plugins, which speaks another protocol",
      "stop it and start swift-cni's \"dhcp daemon\" in its place: systemctl restart cni-dhcp.service, or end the "
        + "process that listens there")
  }

  private func absent(_ code: CNIError.Code, _ message: String, _ details: String) -> DaemonFailure {
    DaemonFailure(cniError: CNIError(code, message, details: details), isDaemonAbsent: true)
  }
}

/// Lines from a socket, each waited for only so long.
private struct LineReader {
  enum Outcome {
    case line([UInt8])
    case ended
    case late
  }

  let socket: Int32
  private var buffer: [UInt8] = []

  init(socket: Int32) { self.socket = socket }

  mutating func next(milliseconds: Int) -> Outcome {
    let end = now() + milliseconds
    while true {
      if let newline = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(buffer[..<newline])
        buffer.removeSubrange(...newline)
        return .line(line)
      }
      let rest = end - now()
      guard rest > 0, buffer.count < 1 << 20 else { return .late }
      var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, Int32(clamping: rest)) > 0 else { continue }
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = read(socket, &chunk, chunk.count)
      if count > 0 {
        buffer += chunk[..<count]
      } else if count == 0 || errno != EINTR {
        return .ended
      }
    }
  }

  private func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }
}
