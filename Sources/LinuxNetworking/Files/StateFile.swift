import CLinux
import Glibc
import SystemPackage

/// Small files that other processes read while we write them.
///
/// A file is written without a name, or under another one in the same directory, and only then put into place: a reader
/// sees the old one or the new one, whole. After a power cut it may be the old one, empty or missing, unless it was
/// written `durable`.
///
/// A process that is killed leaves nothing unfinished where the file system knows files without a name
/// (``NamelessFile``), but for the file itself under a second name while another one is replaced; that goes with the
/// file, at the latest by ``remove(_:)``.
public enum StateFile {
  /// Every file that is not finished yet has a name that begins like this; who lists a directory skips them
  /// (``isTemporary(_:)``).
  public static let temporaryPrefix = ".swift-cni-tmp-"

  /// Whether `name` (the last component of a path) is that of an unfinished file.
  public static func isTemporary(_ name: String) -> Bool { name.hasPrefix(temporaryPrefix) }

  /// Writes a file, replacing one that is there. After a power cut within the next half minute it may be empty.
  ///
  /// - Parameters:
  ///   - bytes: What it is to hold.
  ///   - path: Where; its directory has to be there.
  ///   - mode: permissions of the file; the process's umask applies.
  ///   - durable: on return the file survives a power cut (`fsync` of the file and of its directory, which
  ///     costs milliseconds).
  public static func write(
    _ bytes: [UInt8], to path: String, mode: UInt32 = 0o600, durable: Bool = false
  ) throws(FileError) {
    if try put(bytes, at: path, mode: mode, durable: durable, replacing: true) { return }
    let temporary = try writeTemporary(bytes, beside: path, operation: "write", mode: mode, durable: durable)
    if let failure = replace(path, with: temporary, durable: durable) {
      throw discard(temporary, FileError(path: path, operation: "write", errno: failure))
    }
    if durable { try syncDirectory(of: path, operation: "write") }
  }

  /// Writes a file that must not be there yet: of several that try, one succeeds; the others get `EEXIST`.
  /// Parameters as for ``write(_:to:mode:durable:)``.
  public static func create(
    _ bytes: [UInt8], at path: String, mode: UInt32 = 0o600, durable: Bool = false
  ) throws(FileError) {
    if try put(bytes, at: path, mode: mode, durable: durable, replacing: false) { return }
    let temporary = try writeTemporary(bytes, beside: path, operation: "create", mode: mode, durable: durable)
    if clinux_rename_noreplace(temporary, path) != 0 {
      var failure: Errno? = .last
      // Some network file systems cannot rename without replacing; a hard link refuses to replace, too.
      if failure == .invalidArgument || failure == .noFunction {
        failure = link(temporary, path) == 0 ? nil : .last
        unlink(temporary)
      }
      if let failure {
        throw discard(temporary, FileError(path: path, operation: "create", errno: failure))
      }
    }
    if durable { try syncDirectory(of: path, operation: "create") }
  }

  /// Reads a whole file of at most `limit` bytes. Larger ones are refused with `EFBIG`, directories with
  /// `EISDIR`, FIFOs, sockets and devices with `EINVAL`.
  public static func read(_ path: String, limit: Int = 1 << 20) throws(FileError) -> [UInt8] {
    switch readRegular(path, limit: limit) {
    case .success(let bytes): return bytes
    case .failure(let errno): throw FileError(path: path, operation: "read", errno: errno)
    }
  }

  /// Like ``read(_:limit:)``; nil for a file that is not there.
  public static func readIfPresent(_ path: String, limit: Int = 1 << 20) throws(FileError) -> [UInt8]? {
    switch readRegular(path, limit: limit) {
    case .success(let bytes): return bytes
    case .failure(.noSuchFileOrDirectory): return nil
    case .failure(let errno): throw FileError(path: path, operation: "read", errno: errno)
    }
  }

  /// Removes a file. False if there was none.
  @discardableResult
  public static func remove(_ path: String) throws(FileError) -> Bool {
    guard !path.containsNUL else { throw FileError(path: path, operation: "remove", errno: .invalidArgument) }
    // First, so that who is killed in between is followed by one who looks again.
    unlink(secondName(of: path))
    if unlink(path) == 0 { return true }
    let errno = Errno.last
    guard errno == .noSuchFileOrDirectory || errno == .notDirectory else {
      throw FileError(path: path, operation: "remove", errno: errno)
    }
    return false
  }

  private static func readRegular(_ path: String, limit: Int) -> Result<[UInt8], Errno> {
    switch openRegular(path, limit: limit) {
    case .failure(let errno): return .failure(errno)
    case .success(let file):
      defer { close(file.descriptor) }
      return readAll(file.descriptor, expecting: Int(file.status.st_size), limit: limit)
    }
  }

  /// A regular file of at most `limit` bytes, open for reading.
  static func openRegular(
    _ path: String, limit: Int
  ) -> Result<(descriptor: CInt, status: stat), Errno> {
    let descriptor: CInt
    switch openDescriptor(path, O_RDONLY) {
    case .success(let opened): descriptor = opened
    // A socket cannot be opened at all.
    case .failure(let errno): return .failure(errno == .noSuchAddressOrDevice ? .invalidArgument : errno)
    }
    var status = stat()
    var failure: Errno?
    if fstat(descriptor, &status) != 0 {
      failure = .last
    } else {
      switch status.st_mode & S_IFMT {
      case S_IFREG: failure = status.st_size <= limit ? nil : .fileTooLarge
      case S_IFDIR: failure = .isDirectory
      default: failure = .invalidArgument
      }
    }
    guard let failure else { return .success((descriptor, status)) }
    close(descriptor)
    return .failure(failure)
  }

  /// Where a file has a second name while another one is replaced. It follows from the first, so that it can be found.
  private static func secondName(of path: String) -> String {
    let directory = directory(of: path)
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path[path.index(after: $0)...] } ?? path[...]
    return "\(directory)/\(temporaryPrefix)\(name)"
  }

  /// Writes a file without a name, and gives it the name when it is whole.
  ///
  /// - Returns: False if that cannot be done here: then it takes another name meanwhile.
  private static func put(
    _ bytes: [UInt8], at path: String, mode: UInt32, durable: Bool, replacing: Bool
  ) throws(FileError) -> Bool {
    let operation = replacing ? "write" : "create"
    guard !path.containsNUL else {
      throw FileError(path: path, operation: operation, errno: .invalidArgument)
    }
    let isThere: Bool
    do throws(Errno) {
      guard let file = try NamelessFile(bytes, in: directory(of: path), mode: mode, durable: durable) else {
        return false
      }
      switch file.giveName(path) {
      case nil: isThere = true
      case .fileExists? where replacing: isThere = put(file, inPlaceOf: path, durable: durable)
      case .fileExists?: throw .fileExists
      default: isThere = false
      }
    } catch {
      throw FileError(path: path, operation: operation, errno: error)
    }
    if isThere, durable { try syncDirectory(of: path, operation: operation) }
    return isThere
  }

  /// Puts a whole file in the place of one that is there; false if it has not come about.
  private static func put(_ file: borrowing NamelessFile, inPlaceOf path: String, durable: Bool) -> Bool {
    let second = secondName(of: path)
    // Others who replace the same file have the same second name: what is there is whole, and somebody's who finds out
    // that it is gone, and tries again.
    for _ in 0..<64 {
      switch file.giveName(second) {
      case nil: break
      case .fileExists?:
        unlink(second)
        continue
      default: return false
      }
      switch replace(path, with: second, durable: durable) {
      // Who had the second name in the meantime may have put another file there, even the one before.
      case nil: if file.isNamed(path) { return true }
      case .noSuchFileOrDirectory?: continue
      default:
        unlink(second)
        return false
      }
    }
    return false
  }

  /// Writes `bytes` to a new file in the directory of `path`; gives its path.
  private static func writeTemporary(
    _ bytes: [UInt8], beside path: String, operation: String, mode: UInt32, durable: Bool
  ) throws(FileError) -> String {
    guard !path.containsNUL else {
      throw FileError(path: path, operation: operation, errno: .invalidArgument)
    }
    while true {
      // Not to be guessed: nobody can put a file or a link there beforehand. O_EXCL follows no link.
      let temporary =
        "\(directory(of: path))/\(temporaryPrefix)\(String(UInt64.random(in: .min ... .max), radix: 36))"
      let descriptor: CInt
      switch openDescriptor(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode) {
      case .success(let opened): descriptor = opened
      case .failure(.fileExists): continue
      case .failure(let errno): throw FileError(path: path, operation: operation, errno: errno)
      }
      var failure = bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
      if failure == nil && durable && fsync(descriptor) != 0 { failure = .last }
      if close(descriptor) != 0 && failure == nil && systemErrno != EINTR { failure = .last }
      if let failure {
        throw discard(temporary, FileError(path: path, operation: operation, errno: failure))
      }
      return temporary
    }
  }

  /// A rename over an existing file makes ext4 start writing the new one to disk there and then (its guess that
  /// one wanted `fsync`): 0.3 ms and more. Exchanging the two and removing the old one is as atomic for readers
  /// and costs a tenth; what may follow a power cut is what ``write(_:to:mode:durable:)`` says.
  private static func replace(_ path: String, with temporary: String, durable: Bool) -> Errno? {
    if !durable && clinux_rename_exchange(temporary, path) == 0 {
      guard unlink(temporary) != 0 else { return nil }
      let failure = Errno.last
      if failure == .noSuchFileOrDirectory { return nil }
      // Not a file, or not ours to remove: back to its place.
      _ = clinux_rename_exchange(temporary, path)
      return failure
    }
    return Glibc.rename(temporary, path) == 0 ? nil : .last
  }

  private static func discard(_ temporary: String, _ error: FileError) -> FileError {
    unlink(temporary)
    return error
  }

  private static func syncDirectory(of path: String, operation: String) throws(FileError) {
    switch openDescriptor(directory(of: path), O_RDONLY | O_DIRECTORY) {
    case .success(let descriptor):
      defer { close(descriptor) }
      guard fsync(descriptor) == 0 else { throw FileError(path: path, operation: operation, errno: .last) }
    case .failure(let errno): throw FileError(path: path, operation: operation, errno: errno)
    }
  }

  /// What is before the last slash; `.` without one.
  static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
