import Glibc
import SystemPackage

/// SELinux, as far as one process makes another (`selinux(8)`).
public enum SELinux {
  /// Whether it is in effect: the kernel knows its file system then.
  public static var isEnabled: Bool {
    guard let list = try? StateFile.read("/proc/filesystems") else { return false }
    return String(decoding: list, as: UTF8.self).split(separator: "\n").contains {
      $0.hasSuffix("\tselinuxfs")
    }
  }

  /// Runs `body`; a program that the calling thread executes meanwhile gets the security context `context`.
  ///
  /// - Throws: What `body` throws; `FileError` when SELinux does not know the context, or does not allow it.
  public static func executing<R>(as context: String, _ body: () throws -> R) throws -> R {
    try set(context)
    // A later program of this thread must not inherit it.
    defer { try? set("") }
    return try body()
  }

  /// `setexeccon(3)`.
  private static func set(_ context: String) throws(FileError) {
    let path = "/proc/thread-self/attr/exec"
    switch openDescriptor(path, O_RDWR) {
    case .failure(let errno): throw FileError(path: path, operation: "open", errno: errno)
    case .success(let descriptor):
      defer { close(descriptor) }
      var context = context
      // Also an empty text has to be written.
      guard context.withUTF8({ Glibc.write(descriptor, $0.baseAddress, $0.count) }) >= 0 else {
        throw FileError(path: path, operation: "write the context \"\(context)\" to", errno: .last)
      }
    }
  }
}
