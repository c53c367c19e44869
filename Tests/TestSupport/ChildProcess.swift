import CLinux
import Glibc

/// A process started by a test; killed and waited for when the value goes.
///
/// It is in the network and mount namespaces of the thread that called ``init(_:environment:input:)``
/// (`posix_spawn` clones the calling thread), and inherits no descriptor but 0, 1 and 2.
public final class ChildProcess: @unchecked Sendable {
  /// Its process ID; not reused before this value goes.
  public let pid: pid_t
  private let output: Int32
  private let errors: Int32
  private var standardOutput: [UInt8] = []
  private var standardError: [UInt8] = []
  private var status: Int32?

  /// Starts `arguments[0]`, looked for as a shell would. `environment` replaces the inherited one.
  public init(_ arguments: [String], environment: [String: String]? = nil, input: [UInt8] = []) throws {
    guard let program = findProgram(arguments[0]) else { throw SetupError("find \(arguments[0])", ENOENT) }
    // A file and not a pipe: a child that does not read its input blocks nobody.
    let inputFile = try unlinkedFile(holding: input)
    defer { close(inputFile) }
    var out: [Int32] = [-1, -1]
    var err: [Int32] = [-1, -1]
    guard clinux_pipe_cloexec(&out) == 0, clinux_pipe_cloexec(&err) == 0 else { throw SetupError("pipe2") }
    defer {
      close(out[1])
      close(err[1])
    }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, inputFile, 0)
    posix_spawn_file_actions_adddup2(&actions, out[1], 1)
    posix_spawn_file_actions_adddup2(&actions, err[1], 2)
    clinux_spawn_closefrom(&actions, 3)
    // Threads of libdispatch, and those that are started by them, block signals: the process is to end when it is told to.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

    var pid: pid_t = 0
    let code = withCStrings(arguments) { argv in
      withCStrings(environment.map { $0.map { "\($0.key)=\($0.value)" } }) { envp in
        posix_spawn(&pid, program, &actions, &attributes, argv!, envp ?? environ)
      }
    }
    self.pid = pid
    output = out[0]
    errors = err[0]
    guard code == 0 else {
      status = 0
      throw SetupError("posix_spawn \(program)", code)
    }
  }

  /// Waits until the process has ended, keeping what it writes. After `timeout` seconds kills it and throws.
  public func wait(timeout: Double = 30) throws -> CommandResult {
    var open = [output, errors]
    let deadline = now() + timeout
    while !open.isEmpty {
      guard now() < deadline else { throw timedOut(timeout) }
      var polled = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard poll(&polled, nfds_t(polled.count), 100) > 0 else {
        // A grandchild may keep the pipes open: the process's own end counts.
        if reap() { break }
        continue
      }
      for entry in polled where entry.revents != 0 && drain(entry.fd) { open.removeAll { $0 == entry.fd } }
    }
    while !reap() {
      guard now() < deadline else { throw timedOut(timeout) }
      usleep(1000)
    }
    return result
  }

  /// Waits until the process has written `text` to either stream; throws when it has not within `timeout`
  /// seconds or ends without.
  public func waitForOutput(_ text: String, timeout: Double = 10) throws {
    let deadline = now() + timeout
    while true {
      let ended = reap()
      var polled = [output, errors].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      if poll(&polled, 2, 50) > 0 { for entry in polled where entry.revents != 0 { _ = drain(entry.fd) } }
      let seen = result
      if seen.standardOutput.contains(text) || seen.standardError.contains(text) { return }
      guard !ended, now() < deadline else {
        throw CommandFailure(what: "process \(pid) did not write \"\(text)\"", result: seen)
      }
    }
  }

  /// Sends a signal (`SIGTERM`, …) unless it is known to have ended.
  public func send(signal: Int32) {
    if status == nil { kill(pid, signal) }
  }

  deinit {
    if status == nil {
      kill(pid, SIGKILL)
      var ignored: Int32 = 0
      waitpid(pid, &ignored, 0)
    }
    close(output)
    close(errors)
  }

  private var result: CommandResult {
    let status = status ?? 0
    return CommandResult(
      exitStatus: status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f),
      standardOutput: String(decoding: standardOutput, as: UTF8.self),
      standardError: String(decoding: standardError, as: UTF8.self))
  }

  private func timedOut(_ timeout: Double) -> CommandFailure {
    send(signal: SIGKILL)
    return CommandFailure(what: "process \(pid) ran longer than \(timeout) s", result: result)
  }

  /// True once the process has ended.
  private func reap() -> Bool {
    if status != nil { return true }
    var status: Int32 = 0
    guard waitpid(pid, &status, WNOHANG) == pid else { return false }
    self.status = status
    return true
  }

  /// Takes what is there; true at the end of the stream.
  private func drain(_ descriptor: Int32) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return true }
    if descriptor == output {
      standardOutput += buffer[..<count]
    } else {
      standardError += buffer[..<count]
    }
    return false
  }
}

private func now() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

private func unlinkedFile(holding bytes: [UInt8]) throws -> Int32 {
  let file = clinux_memfd_create("input")
  guard file >= 0, write(file, bytes, bytes.count) == bytes.count, lseek(file, 0, SEEK_SET) == 0 else {
    throw SetupError("memfd_create")
  }
  return file
}

private func withCStrings<R>(
  _ strings: [String]?, _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> R
) -> R {
  guard let strings else { return body(nil) }
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  return body(&pointers)
}
