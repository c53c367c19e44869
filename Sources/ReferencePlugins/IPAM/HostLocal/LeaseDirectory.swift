import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage

/// One network's directory of leases, as the Go plugin keeps it: a file per leased address, named by the address, that
/// holds the owner; `last_reserved_ip.N` with the address that range set N gave out last; and `lock`.
struct LeaseDirectory: ~Copyable, Sendable {
  let path: String
  private let descriptor: Int32

  /// `nil` if there is no such directory.
  static func open(_ path: String) throws(CNIError) -> LeaseDirectory? {
    let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor >= 0 { return LeaseDirectory(path: path, descriptor: descriptor) }
    if errno == ENOENT { return nil }
    throw .leaseFile("open", path)
  }

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Waits for the lock that the Go plugin takes, too. It is held as long as the value lives.
  func lock() throws(CNIError) -> FileLock {
    do throws(FileError) { return try FileLock(path: "\(path)/lock") } catch {
      throw CNIError(describing: error)
    }
  }

  /// When a file was made or removed last. `nil` if the directory itself has been removed since it was opened.
  func modificationTime() throws(CNIError) -> DirectoryTime? {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .leaseFile("read", path) }
    return status.st_nlink == 0 ? nil : DirectoryTime(status)
  }

  func setModificationTime(_ time: timespec) -> Bool {
    var times = (time, time)
    return withUnsafePointer(to: &times) {
      $0.withMemoryRebound(to: timespec.self, capacity: 2) { futimens(descriptor, $0) == 0 }
    }
  }

  /// Makes a lease. False if there is one of this name.
  ///
  /// It is born with its content wherever the file system can do that: an ADD that is killed in between would leave one
  /// that is nobody's, and that only GC could give back.
  func create(_ name: String, content: [UInt8]) throws(CNIError) -> Bool {
    if let created = try createWhole(name, content) { return created }
    let file = openat(descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if file < 0 {
      if errno == EEXIST { return false }
      throw .leaseFile("create", "\(path)/\(name)")
    }
    let written = write(file, content, content.count)
    let code = written < 0 ? errno : ENOSPC
    close(file)
    if written == content.count { return true }
    unlinkat(descriptor, name, 0)
    throw .leaseFile("write", "\(path)/\(name)", code)
  }

  /// nil where that cannot be done.
  private func createWhole(_ name: String, _ content: [UInt8]) throws(CNIError) -> Bool? {
    do throws(Errno) {
      guard let file = try NamelessFile(content, in: ".", of: descriptor, mode: 0o600) else { return nil }
      switch file.giveName(name, in: descriptor) {
      case nil: return true
      case .fileExists?: return false
      default: return nil
      }
    } catch {
      throw .leaseFile("create", "\(path)/\(name)", error.rawValue)
    }
  }

  /// What a lease file holds; `nil` if there is none.
  func read(_ name: String) throws(CNIError) -> [UInt8]? {
    let file = openat(descriptor, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    if file < 0 {
      // Not a file of ours, whatever it is.
      if errno == ENOENT || errno == ELOOP || errno == ENXIO { return nil }
      throw .leaseFile("open", "\(path)/\(name)")
    }
    defer { close(file) }
    // An ID is not limited in length, but a path with it in it is.
    var code: Int32 = 0
    let content = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
      count = Glibc.read(file, buffer.baseAddress, buffer.count)
      if count < 0 {
        code = errno
        count = 0
      }
    }
    // What cannot be read is not the same as an empty file: GC must not take it for nobody's.
    if code != 0 { throw .leaseFile("read", "\(path)/\(name)", code) }
    return content
  }

  func exists(_ name: String) -> Bool { faccessat(descriptor, name, F_OK, 0) == 0 || errno != ENOENT }

  /// False if there was none.
  func remove(_ name: String) throws(CNIError) -> Bool {
    if unlinkat(descriptor, name, 0) == 0 { return true }
    if errno == ENOENT { return false }
    throw .leaseFile("remove", "\(path)/\(name)")
  }

  /// The names of all leases: of the files that are named by an address.
  func leases() throws(CNIError) -> [(name: String, address: IPAddress)] {
    // A descriptor of its own, because reading moves its position and closing the stream closes it.
    let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0, let directory = fdopendir(copy) else { throw .leaseFile("list", path) }
    defer { closedir(directory) }
    var found: [(String, IPAddress)] = []
    while let entry = readdir(directory) {
      if entry.pointee.d_type == UInt8(DT_DIR) { continue }
      let name = entry.name
      if let address = IPAddress(name) { found.append((name, address)) }
    }
    return found
  }

  /// What range set `set` gave out last, to go on from there.
  func lastReserved(set: Int) -> LastReserved {
    LastReserved(descriptor: openat(descriptor, lastReservedName(set), O_RDWR | O_CLOEXEC))
  }

  /// Remembers what range set `set` has given out. A failure is not reported: the next allocation then begins
  /// elsewhere, and that is all.
  func setLastReserved(_ last: consuming LastReserved, to address: String, set: Int) {
    if last.descriptor < 0 {
      last = LastReserved(
        descriptor: openat(descriptor, lastReservedName(set), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600))
    }
    last.replace(with: address)
  }

  private func lastReservedName(_ set: Int) -> String { "last_reserved_ip.\(set)" }
}

/// The file with the address that a range set gave out last. It is overwritten in place: it is a hint, and one file
/// less to make and rename for each address.
struct LastReserved: ~Copyable {
  fileprivate let descriptor: Int32
  /// `nil` if there is none yet, or what is there is not an address.
  let address: IPAddress?
  private let length: Int

  fileprivate init(descriptor: Int32) {
    self.descriptor = descriptor
    let text = String(unsafeUninitializedCapacity: 64) {
      max(0, pread(descriptor, $0.baseAddress, $0.count, 0))
    }
    length = text.utf8.count
    address = IPAddress(text)
  }

  fileprivate func replace(with address: String) {
    var address = address
    let count = address.withUTF8 { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    if count < length { ftruncate(descriptor, max(0, count)) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }
}

/// When a directory was changed last.
struct DirectoryTime {
  /// `st_mtim`.
  let modified: timespec
  /// Whether the time was set after the change: a change sets both of a directory's times to the same, and then is as old
  /// as any other of the same tick of the kernel's clock.
  let isStamped: Bool

  init(_ status: stat) {
    modified = status.st_mtim
    isStamped =
      status.st_mtim.tv_sec != status.st_ctim.tv_sec || status.st_mtim.tv_nsec != status.st_ctim.tv_nsec
  }
}

extension CNIError {
  /// A file of the lease directory that cannot be used: code 5.
  static func leaseFile(_ operation: String, _ path: String, _ code: Int32 = errno) -> CNIError {
    CNIError(describing: FileError(path: path, operation: operation, errno: Errno(rawValue: code)))
  }
}
