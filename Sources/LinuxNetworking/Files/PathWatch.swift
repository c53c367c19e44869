import CLinux
import Glibc
import SystemPackage

/// Notices when what some paths lead to may have changed (`inotify(7)`).
///
/// Not only the directory at the end of a path is watched but every directory on the way to it, those that symbolic links lead
/// through included, each for the one name that matters there. So a path may lead nowhere yet, and any part of it may be
/// removed, made again, renamed, or be a link that is redirected: each is one event.
///
/// What a watch cannot see: changes made by another machine of a network file system, and file systems that are mounted
/// over a directory on the way.
///
/// For one thread at a time.
public final class PathWatch {
  /// What to watch.
  public enum Target: Sendable, Hashable {
    /// A directory: each name in it that is not hidden, and what happens to files there.
    case directory(String)
    /// A single file.
    case file(String)
  }

  /// Readable when something has happened.
  public let descriptor: Int32

  /// What counts in one directory.
  private struct Interest: Equatable {
    /// These names. An empty one stands for all that are not hidden.
    var names: Set<String> = []
    /// Whether the content of files counts, and not only whether they are there.
    var includesContent = false
  }

  private var watches: [Int32: Interest] = [:]

  private static let entries =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
  private static let content = IN_MODIFY | IN_CLOSE_WRITE

  /// Watches nothing yet. Throws ``FileError``, `EMFILE` where the user has as many inotify instances as it may
  /// (`fs.inotify.max_user_instances`).
  public init() throws(FileError) {
    descriptor = clinux_inotify_create()
    guard descriptor >= 0 else { throw FileError(path: "inotify", operation: "use", errno: .last) }
  }

  deinit { close(descriptor) }

  /// Watches these targets (absolute paths), and no others from now on. What has happened before is to be looked for
  /// afterwards.
  ///
  /// - Returns: Whether anything is watched now that was not before.
  /// - Throws: `ENOSPC` where the user has as many watches as it may (`fs.inotify.max_user_watches`), `EACCES` for a directory
  ///   on the way that may not be read. What could be watched is.
  @discardableResult
  public func follow(_ targets: [Target]) throws(FileError) -> Bool {
    var wanted: [Int32: Interest] = [:]
    var failure: FileError?
    for target in targets {
      do throws(FileError) { try walk(target, &wanted) } catch { failure = error }
    }
    let isNew = wanted.contains { number, interest in watches[number] != interest }
    for number in watches.keys where wanted[number] == nil { inotify_rm_watch(descriptor, number) }
    watches = wanted
    if let failure { throw failure }
    return isNew
  }

  /// Takes what has happened since the last time, without waiting.
  ///
  /// - Returns: Whether any of it concerns a target. True, too, when the kernel has dropped events.
  public func takeEvents() -> Bool {
    var isConcerned = false
    withUnsafeTemporaryAllocation(byteCount: 32768, alignment: 8) { buffer in
      while true {
        let count = read(descriptor, buffer.baseAddress!, buffer.count)
        guard count > 0 else {
          if count < 0 && systemErrno == EINTR { continue }
          return
        }
        if concerns(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])) {
          isConcerned = true
        }
      }
    }
    return isConcerned
  }

  private func concerns(_ events: UnsafeRawBufferPointer) -> Bool {
    var rest = events
    while rest.count >= MemoryLayout<inotify_event>.size {
      let event = rest.loadUnaligned(as: inotify_event.self)
      let end = MemoryLayout<inotify_event>.size + Int(event.len)
      let name = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<inotify_event>.size..<end])
      rest = UnsafeRawBufferPointer(rebasing: rest[end...])
      if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return true }
      // One of a watch that was given up already is about nothing any more.
      guard let interest = watches[event.wd] else { continue }
      // About the directory itself.
      if name.isEmpty { return true }
      let text = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
      if interest.names.contains(text) || interest.names.contains("") && !text.hasPrefix(".") { return true }
    }
    return false
  }

  /// Goes the way that the kernel goes, and watches each directory before it looks what is in it: what happens
  /// in between is an event.
  private func walk(_ target: Target, _ wanted: inout [Int32: Interest]) throws(FileError) {
    let path: String
    var isDirectory = false
    switch target {
    case .directory(let directory):
      path = directory
      isDirectory = true
    case .file(let file): path = file
    }
    guard !path.containsNUL, path.hasPrefix("/") else { return }
    var here: [Substring] = []
    var left = Array(path.split(separator: "/").reversed())
    var links = 0
    while let name = left.popLast() {
      if name == "." { continue }
      if name == ".." {
        _ = here.popLast()
        continue
      }
      let isLast = left.isEmpty
      guard
        try watch(here, String(name), content: isLast && !isDirectory, &wanted)
      else { return }
      let next = "/" + (here + [name]).joined(separator: "/")
      var status = stat()
      guard lstat(next, &status) == 0 else { return }
      if status.st_mode & S_IFMT == S_IFLNK {
        links += 1
        // As many as the kernel follows.
        guard links <= 40, let destination = Self.destination(of: next) else { return }
        if destination.hasPrefix("/") { here = [] }
        left += destination.split(separator: "/").reversed()
      } else if status.st_mode & S_IFMT == S_IFDIR {
        here.append(name)
      } else {
        return
      }
    }
    if isDirectory { _ = try watch(here, "", content: true, &wanted) }
  }

  /// Watches a directory for a name. False if it is not there any more.
  private func watch(
    _ components: [Substring], _ name: String, content: Bool, _ wanted: inout [Int32: Interest]
  ) throws(FileError) -> Bool {
    let directory = "/" + components.joined(separator: "/")
    // Added to what is watched there already: two paths may lead to one directory.
    let mask = Self.entries | (content ? Self.content : 0) | IN_ONLYDIR | IN_MASK_ADD
    let number = inotify_add_watch(descriptor, directory, UInt32(bitPattern: mask))
    guard number >= 0 else {
      let errno = Errno.last
      if errno != .noSuchFileOrDirectory && errno != .notDirectory {
        throw FileError(path: directory, operation: "watch", errno: errno)
      }
      return false
    }
    wanted[number, default: Interest()].names.insert(name)
    if content { wanted[number]!.includesContent = true }
    return true
  }

  private static func destination(of link: String) -> String? {
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
      count = max(
        0,
        readlink(
          link, UnsafeMutableRawPointer(buffer.baseAddress!).assumingMemoryBound(to: CChar.self), buffer.count
        ))
    }
    return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
  }
}
