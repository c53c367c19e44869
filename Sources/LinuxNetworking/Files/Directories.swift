import Glibc
import SystemPackage

extension StateFile {
  /// Makes a directory and those on the way to it. One that is there, or a link to one, is left as it is.
  ///
  /// - Parameters:
  ///   - path: the directory.
  ///   - mode: permissions of each one that is made; the process's umask applies.
  public static func createDirectories(_ path: String, mode: UInt32 = 0o755) throws(FileError) {
    guard !path.containsNUL else { throw FileError(path: path, operation: "create", errno: .invalidArgument) }
    // Twice and more only if somebody removes directories meanwhile.
    for _ in 0..<8 {
      if mkdir(path, mode) == 0 { return }
      let failure = Errno.last
      if failure == .noSuchFileOrDirectory {
        let parent = directory(of: withoutTrailingSlashes(path))
        guard !path.isEmpty, parent != path else {
          throw FileError(path: path, operation: "create", errno: failure)
        }
        try createDirectories(parent, mode: mode)
        continue
      }
      // EEXIST says nothing about what is there, and a read-only file system says EROFS first.
      var status = stat()
      if stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR { return }
      throw FileError(
        path: path, operation: "create", errno: failure == .fileExists ? .notDirectory : failure)
    }
    throw FileError(path: path, operation: "create", errno: .noSuchFileOrDirectory)
  }

  /// Throws if the process could not make files in a directory; of one that is not there, if it could not make that.
  public static func requireWritable(_ directory: String) throws(FileError) {
    if access(directory, W_OK | X_OK) == 0 { return }
    let failure = Errno.last
    let parent = self.directory(of: withoutTrailingSlashes(directory))
    if failure == .noSuchFileOrDirectory, parent != directory { return try requireWritable(parent) }
    throw FileError(path: directory, operation: "write", errno: failure)
  }

  /// The names in a directory, in no order, without `.`, `..` and unfinished files; empty if it is not there.
  public static func names(in directory: String) throws(FileError) -> [String] {
    try entries(in: directory).filter { !isTemporary($0) }
  }

  /// Removes the unfinished files that processes left which were killed while writing: those that are older
  /// than `age`. A directory that is not there has none.
  public static func removeStaleTemporaries(
    in directory: String, olderThan age: Duration = .seconds(600)
  ) throws(FileError) {
    for name in try entries(in: directory) where isTemporary(name) {
      let path = "\(directory)/\(name)"
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
      var now = timespec()
      clock_gettime(CLOCK_REALTIME, &now)
      if now.tv_sec - status.st_mtim.tv_sec >= Int(age.components.seconds) { unlink(path) }
    }
  }

  private static func entries(in directory: String) throws(FileError) -> [String] {
    let descriptor: CInt
    switch openDescriptor(directory, O_RDONLY | O_DIRECTORY) {
    case .success(let opened): descriptor = opened
    case .failure(.noSuchFileOrDirectory): return []
    case .failure(let errno): throw FileError(path: directory, operation: "list", errno: errno)
    }
    guard let stream = fdopendir(descriptor) else {
      let failure = Errno.last
      close(descriptor)
      throw FileError(path: directory, operation: "list", errno: failure)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw FileError(path: directory, operation: "list", errno: .last) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }

  private static func withoutTrailingSlashes(_ path: String) -> String {
    guard let end = path.utf8.lastIndex(where: { $0 != UInt8(ascii: "/") }) else { return path }
    return String(path[...end])
  }
}
