import Glibc
import SystemPackage

/// Kernel settings under `/proc/sys`. Those below `net` are of the network namespace that the calling thread is in.
///
/// A name is a path (`net/ipv4/conf/eth0.100/rp_filter`, with or without `/proc/sys/` before it) or, as for
/// `sysctl(8)`, dotted: then a slash stands for a dot (`net.ipv4.conf.eth0/100.rp_filter`). Which of the two it
/// is, the first separator decides.
public enum Sysctl {
  /// Reads a setting, without the line's end.
  public static func read(_ name: String) throws(FileError) -> String {
    let path = try path(of: name)
    switch contents(of: path) {
    case .success(let bytes): return String(decoding: bytes, as: UTF8.self)
    case .failure(let errno): throw FileError(path: path, operation: "read", errno: errno)
    }
  }

  /// Sets a value.
  public static func write(_ value: String, to name: String) throws(FileError) {
    try write(value, path: try path(of: name))
  }

  /// Sets a value unless that is what it is: where everything is as it should be, `/proc/sys` may be
  /// read-only. Gives back whether it was changed. Numbers in a list may be separated by any white space.
  @discardableResult
  public static func ensure(_ name: String, is value: String) throws(FileError) -> Bool {
    let path = try path(of: name)
    if case .success(let bytes) = contents(of: path), same(bytes, Array(value.utf8)) { return false }
    try write(value, path: path)
    return true
  }

  /// The file of a setting: `/proc/sys/…`. `EINVAL` for a name with an empty part, `.`, `..` or a NUL byte.
  public static func path(of name: String) throws(FileError) -> String {
    let slash = UInt8(ascii: "/")
    let dot = UInt8(ascii: ".")
    var bytes = Array(name.utf8)
    if bytes.starts(with: root.utf8) {
      bytes.removeFirst(root.utf8.count)
    } else if bytes.first(where: { $0 == slash || $0 == dot }) == dot {
      for index in bytes.indices {
        if bytes[index] == dot { bytes[index] = slash } else if bytes[index] == slash { bytes[index] = dot }
      }
    }
    let parts = bytes.split(separator: slash, omittingEmptySubsequences: false)
    guard !bytes.contains(0), !parts.contains(where: { $0.isEmpty || $0 == [dot] || $0 == [dot, dot] }) else {
      throw FileError(path: name, operation: "find the kernel setting", errno: .invalidArgument)
    }
    return root + String(decoding: bytes, as: UTF8.self)
  }

  private static let root = "/proc/sys/"

  private static func contents(of path: String) -> Result<[UInt8], Errno> {
    switch openDescriptor(path, O_RDONLY) {
    case .failure(let errno): return .failure(errno)
    case .success(let descriptor):
      defer { close(descriptor) }
      return readAll(descriptor, expecting: 0, limit: 1 << 16).map { bytes in
        var bytes = bytes
        while let last = bytes.last, last == UInt8(ascii: "\n") { bytes.removeLast() }
        return bytes
      }
    }
  }

  private static func write(_ value: String, path: String) throws(FileError) {
    switch openDescriptor(path, O_WRONLY) {
    case .failure(let errno): throw FileError(path: path, operation: "write", errno: errno)
    case .success(let descriptor):
      defer { close(descriptor) }
      var value = value
      // In one piece: each write is a value of its own.
      let failure: Errno? = value.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) }
      if let failure { throw FileError(path: path, operation: "write", errno: failure) }
    }
  }

  private static func same(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    func words(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] { bytes.split { $0 == 0x20 || 0x09...0x0d ~= $0 } }
    return a == b || words(a) == words(b)
  }
}
