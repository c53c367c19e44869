import CLinux
import CNI
import Glibc

/// A program of the host, for the few things that are asked to be done by one.
public struct HostProgram: Sendable {
  private let name: String
  private let remedy: String

  /// A program that is looked for in `PATH`.
  ///
  /// - Parameters:
  ///   - name: Its name.
  ///   - remedy: What to do if it is not installed.
  public init(
    _ name: String, remedy: String = "install it, or choose the nftables back end, which needs no program"
  ) {
    self.name = name
    self.remedy = remedy
  }

  /// Whether it is found in `PATH`.
  public var isInstalled: Bool { path != nil }

  /// Where it is found.
  private var path: String? {
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/sbin:/usr/bin:/sbin:/bin"
    return path.split(separator: ":").lazy.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }

  /// The file that it leads to in the end; `nil` if it is not installed.
  public var file: String? {
    guard let path, let file = realpath(path, nil) else { return nil }
    defer { free(file) }
    return String(cString: file)
  }

  /// Runs it to its end with `input` on its standard input.
  ///
  /// - Returns: What it wrote on standard output.
  /// - Throws: `CNIError` with what it wrote on standard error, if it failed or is not installed.
  @discardableResult
  public func run(_ arguments: [String], input: String = "") throws(CNIError) -> String {
    let given = memory("input", contents: input)
    let output = memory("output")
    let complaints = memory("errors")
    defer { for descriptor in [given, output, complaints] where descriptor >= 0 { close(descriptor) } }
    guard given >= 0, output >= 0, complaints >= 0 else {
      throw CNIError(
        .ioFailure, "cannot make temporary files for \(name): \(String(cString: strerror(errno)))")
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (target, source) in [(STDIN_FILENO, given), (STDOUT_FILENO, output), (STDERR_FILENO, complaints)] {
      posix_spawn_file_actions_adddup2(&actions, source, target)
    }
    var words: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    let failure = posix_spawnp(&process, name, &actions, nil, &words, environ)
    guard failure == 0 else {
      throw CNIError(
        .internalError, "cannot run \(name): \(String(cString: strerror(failure)))",
        details: remedy)
    }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 {
      // A caller that ignores SIGCHLD leaves nobody to ask how it ended.
      if errno != EINTR {
        throw CNIError(.internalError, "how \(name) ended is not known: \(String(cString: strerror(errno)))")
      }
    }
    guard status == 0 else {
      let why = status & 0x7f == 0 ? "exit status \((status >> 8) & 0xff)" : "signal \(status & 0x7f)"
      throw CNIError(.internalError, "\(name) failed (\(why))", details: contents(complaints))
    }
    return contents(output)
  }

  /// A file without a name: unlike a pipe it takes any amount before anybody reads.
  private func memory(_ label: String, contents: String = "") -> Int32 {
    let descriptor = clinux_memfd_create(label)
    var text = contents
    text.withUTF8 { bytes in
      _ = write(descriptor, bytes.baseAddress, bytes.count)
    }
    lseek(descriptor, 0, SEEK_SET)
    return descriptor
  }

  private func contents(_ descriptor: Int32) -> String {
    let size = Int(lseek(descriptor, 0, SEEK_END))
    var bytes = [UInt8](repeating: 0, count: max(size, 0))
    _ = pread(descriptor, &bytes, bytes.count, 0)
    return String(decoding: bytes, as: UTF8.self).trimmingNewlines
  }
}

extension String {
  fileprivate var trimmingNewlines: String {
    var text = self[...]
    while text.last == "\n" { text.removeLast() }
    return String(text)
  }
}
