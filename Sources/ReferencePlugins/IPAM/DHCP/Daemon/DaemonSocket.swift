import CLinux
import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import SystemPackage

/// Where plugins connect: a socket of our own, or one that the service manager has handed over (`sd_listen_fds(3)`).
struct DaemonSocket {
  let descriptor: Int32
  /// The file to be removed in the end; `nil` if it is somebody else's.
  let path: String?

  /// - Throws: `CNIError` when there is none, or another daemon listens there.
  init(path: String) throws(CNIError) {
    if let handedOver = try Self.handedOver() {
      descriptor = handedOver
      self.path = nil
      return
    }
    do throws(FileError) {
      let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
      if let slash, slash > path.startIndex {
        try StateFile.createDirectories(String(path[..<slash]), mode: 0o700)
      }
    } catch { throw CNIError(describing: error) }
    var listener = clinux_unix_listen(path)
    if listener < 0, errno == EADDRINUSE {
      var status = stat()
      guard lstat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFSOCK else {
        throw CNIError(
          .internalError, "\(path), where the daemon is to listen, is there and no socket",
          details: "remove it, or choose another socket (-socketpath, ipam.daemonSocketPath)")
      }
      // A file that nobody listens at is left of one that was killed.
      let other = clinux_unix_connect(path, 1000)
      if other >= 0 || errno != ECONNREFUSED {
        if other >= 0 { close(other) }
        throw CNIError(
          .internalError, "another daemon listens at \(path)",
          details: "stop it first, or choose another socket for this one (-socketpath, ipam.daemonSocketPath)"
        )
      }
      unlink(path)
      listener = clinux_unix_listen(path)
    }
    guard listener >= 0 else {
      throw CNIError(.ioFailure, "cannot listen at \(path): \(Errno(rawValue: errno))")
    }
    descriptor = listener
    self.path = path
  }

  private static func handedOver() throws(CNIError) -> Int32? {
    defer {
      for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
    }
    guard let pid = getenv("LISTEN_PID").flatMap({ Int32(String(cString: $0)) }), pid == getpid(),
      let count = getenv("LISTEN_FDS").flatMap({ Int(String(cString: $0)) }), count > 0
    else { return nil }
    guard count == 1 else {
      throw CNIError(
        .internalError, "the service manager has handed over \(count) sockets",
        details: "cni-dhcp.socket must have one ListenStream and no other ListenXXX")
    }
    var status = stat()
    guard fstat(3, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK, clinux_set_nonblocking(3) == 0 else {
      throw CNIError(.internalError, "LISTEN_FDS=1, but descriptor 3 is no socket")
    }
    return 3
  }

  /// Tells the service manager how it stands (`sd_notify(3)`).
  static func notify(_ state: String) {
    guard let path = getenv("NOTIFY_SOCKET") else { return }
    _ = clinux_unix_notify(String(cString: path), state)
  }

  /// Removes the file, so that nobody waits at it.
  func remove() {
    close(descriptor)
    if let path { unlink(path) }
  }
}
