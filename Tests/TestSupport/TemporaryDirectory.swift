import Glibc

/// A directory for one test's files; removed with all it holds when the value goes.
public struct TemporaryDirectory: ~Copyable, Sendable {
  /// Absolute, no trailing slash.
  public let path: String

  /// Makes an empty directory, mode 0700, in `$TMPDIR` or `/tmp`.
  public init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/swift-cni-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SetupError("mkdtemp in \(parent)") }
    path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  /// The path of `name` inside.
  public func file(_ name: String) -> String { "\(path)/\(name)" }

  deinit { removeTree(path) }
}

/// Gives `body` the path of a directory that is removed afterwards.
public func withTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
  let directory = try TemporaryDirectory()
  return try body(directory.path)
}

/// Removes `path` and everything below it; follows no symbolic link; says nothing if that fails.
public func removeTree(_ path: String) {
  guard unlink(path) != 0, rmdir(path) != 0, let directory = opendir(path) else { return }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != "." && name != ".." { names.append(name) }
  }
  closedir(directory)
  for name in names { removeTree("\(path)/\(name)") }
  rmdir(path)
}
