import CLinux
import Glibc
import SystemPackage

/// Which file a path leads to, and when it was changed last: two that are equal are the same file with the same content,
/// as far as the clock of its file system can tell.
public struct FileStamp: Sendable, Hashable {
  /// `st_dev` and `st_ino`.
  public let device: UInt64, inode: UInt64
  /// `st_size`, in bytes.
  public let size: Int64
  /// `st_mtim` and `st_ctim`, in nanoseconds since 1970.
  public let modified: Int64, changed: Int64

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    changed = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
  }

  /// That of what a path leads to, symbolic links followed; nil if it leads nowhere.
  public init?(path: String) {
    var status = stat()
    guard !path.containsNUL, stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  /// Whether the last modification is less than a second old.
  fileprivate var isFresh: Bool {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let age = Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec) - modified
    // One from the future comes from a clock that was put back.
    return (-1_000_000_000..<1_000_000_000).contains(age)
  }
}

extension StateFile {
  /// What reading a file has come to that others may write in place.
  public enum SettledRead: Sendable {
    /// The whole of it, at a time when nobody was writing.
    case content([UInt8], FileStamp)
    /// Somebody is writing it now.
    case beingWritten
  }

  /// Reads a whole file, like ``read(_:limit:)``, unless somebody is writing it.
  ///
  /// Somebody is writing if the file is open for writing or mapped, and was modified within the last second: who forgot to
  /// close it is not waited for. Where the file system does not tell who has it open, only a file that changes
  /// during the reading counts as being written.
  public static func readSettled(_ path: String, limit: Int = 1 << 20) throws(FileError) -> SettledRead {
    switch settled(path, limit) {
    case .success(let read): return read
    case .failure(let errno): throw FileError(path: path, operation: "read", errno: errno)
    }
  }

  private static func settled(_ path: String, _ limit: Int) -> Result<SettledRead, Errno> {
    let descriptor: CInt
    let before: FileStamp
    switch openRegular(path, limit: limit) {
    case .success(let file):
      descriptor = file.descriptor
      before = FileStamp(file.status)
    case .failure(let errno): return .failure(errno)
    }
    defer { close(descriptor) }
    if before.isFresh && clinux_has_writer(descriptor) == 1 { return .success(.beingWritten) }
    switch readAll(descriptor, expecting: Int(before.size), limit: limit) {
    case .failure(let errno): return .failure(errno)
    case .success(let bytes):
      guard let after = stamp(descriptor) else { return .failure(.last) }
      // Who opened it meanwhile and is still at it shows here; who is done already has left a new time.
      if after.isFresh && (after != before || clinux_has_writer(descriptor) == 1) {
        return .success(.beingWritten)
      }
      return .success(.content(bytes, after))
    }
  }

  private static func stamp(_ descriptor: CInt) -> FileStamp? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? FileStamp(status) : nil
  }
}
