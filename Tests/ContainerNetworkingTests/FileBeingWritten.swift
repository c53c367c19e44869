import CLinux
import Glibc
import Testing

/// A file that somebody is writing, and knows when somebody else reads it.
final class FileBeingWritten: Sendable {
  private let path: String
  private let file: Int32
  private let events: Int32

  /// Begins to write `text` to a file that may be there already.
  init(_ path: String, _ text: String) throws {
    self.path = path
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    try #require(file >= 0)
    events = clinux_inotify_create()
    try #require(events >= 0 && inotify_add_watch(events, path, UInt32(IN_OPEN)) >= 0)
    write(text)
  }

  deinit {
    close(file)
    close(events)
  }

  func write(_ text: String) {
    _ = Array(text.utf8).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
  }

  /// Whether somebody has opened it since this was asked last.
  var wasOpened: Bool {
    var buffer = [UInt8](repeating: 0, count: 4096)
    return read(events, &buffer, buffer.count) > 0
  }
}
