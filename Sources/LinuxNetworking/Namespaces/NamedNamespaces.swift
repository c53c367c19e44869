import CLinux
import Glibc
import SystemPackage

// Named namespaces are iproute2's convention (ip-netns(8)): a file of that name in /run/netns, on which the
// namespace is mounted. `ip netns` sees ours, and we see its own.
extension NetworkNamespace {
  /// Where named namespaces are.
  public static let directory = "/run/netns"

  /// Makes a namespace and gives it a name; it lasts until ``delete(named:)``. The calling thread stays where
  /// it is. In the new namespace the loopback interface is down.
  ///
  /// A name is a file name: 1 to 255 bytes, no slash, not `.` or `..`: otherwise `EINVAL`. A name that is
  /// taken: `EEXIST`.
  public static func create(named name: String) throws(NamespaceError) -> NetworkNamespace {
    let path = try pathOf(name, operation: "create")
    try prepareDirectory()
    // O_EXCL decides between several who want the same name.
    switch openDescriptor(path, O_RDONLY | O_CREAT | O_EXCL) {
    case .success(let file): close(file)
    case .failure(let errno): throw NamespaceError(path: path, operation: "create", errno: errno)
    }
    let namespace: CInt
    do throws(NamespaceError) {
      let home = try enterNewNamespace(path: path)
      defer { comeBack(to: home) }
      namespace = try openOwnNamespace()
      guard mount(ownNamespace, path, "none", UInt(MS_BIND), nil) == 0 else {
        let errno = Errno.last
        close(namespace)
        throw NamespaceError(path: path, operation: "mount", errno: errno)
      }
    } catch {
      unlink(path)
      throw error
    }
    return NetworkNamespace(path: path, descriptor: namespace)
  }

  /// Removes a name. The namespace itself lives on while a process or a descriptor holds it.
  public static func delete(named name: String) throws(NamespaceError) {
    let path = try pathOf(name, operation: "delete")
    // Several may lie on top of each other if somebody mounted by hand.
    for _ in 0..<16 {
      let unmounted = umount2(path, CInt(MNT_DETACH) | CInt(UMOUNT_NOFOLLOW)) == 0
      let unmounting = Errno.last
      if unlink(path) == 0 { return }
      let errno = Errno.last
      guard errno == .resourceBusy, unmounted else {
        throw NamespaceError(
          path: path, operation: "delete", errno: errno == .resourceBusy ? unmounting : errno)
      }
    }
    throw .failed(path: path, operation: "delete", .resourceBusy)
  }

  /// Makes a namespace without a name: it ends when nothing holds it, no descriptor and no process. `path`
  /// leads to it from other processes while this value lives. The calling thread stays where it is.
  public static func createAnonymous() throws(NamespaceError) -> NetworkNamespace {
    let home = try enterNewNamespace(path: "(new)")
    defer { comeBack(to: home) }
    let descriptor = try openOwnNamespace()
    return NetworkNamespace(path: "/proc/\(getpid())/fd/\(descriptor)", descriptor: descriptor)
  }

  private static func pathOf(_ name: String, operation: String) throws(NamespaceError) -> String {
    let path = "\(directory)/\(name)"
    guard !name.isEmpty, name != ".", name != "..", name.utf8.count <= 255, !name.containsNUL,
      !name.utf8.contains(UInt8(ascii: "/"))
    else { throw .failed(path: path, operation: operation, .invalidArgument) }
    return path
  }

  /// Makes the directory a shared mount point, as `ip netns` does: a name that is removed in one mount
  /// namespace then vanishes from the copies in others, and its namespace can end.
  private static func prepareDirectory() throws(NamespaceError) {
    do throws(FileError) {
      try StateFile.createDirectories(directory)
    } catch {
      throw NamespaceError(path: directory, operation: "create", errno: error.errno)
    }
    guard mount("", directory, "none", UInt(MS_SHARED | MS_REC), nil) != 0 else { return }
    // Not a mount point yet. `ip netns` holds this same lock here: two binds would lie on top of each other.
    switch openDescriptor(directory, O_RDONLY | O_DIRECTORY) {
    case .failure(let errno): throw NamespaceError(path: directory, operation: "open", errno: errno)
    case .success(let lock):
      defer { close(lock) }
      while flock(lock, LOCK_EX) != 0 && systemErrno == EINTR {}
      if mount("", directory, "none", UInt(MS_SHARED | MS_REC), nil) == 0 { return }
      guard mount(directory, directory, "none", UInt(MS_BIND | MS_REC), nil) == 0,
        mount("", directory, "none", UInt(MS_SHARED | MS_REC), nil) == 0
      else { throw NamespaceError(path: directory, operation: "mount", errno: .last) }
    }
  }
}
