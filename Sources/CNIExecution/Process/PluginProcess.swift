import Glibc
import SystemPackage

/// What a plugin process left when it was over.
struct ProcessOutcome {
  /// Why it was over.
  enum Ending {
    case byItself
    case timedOut
    case cancelled
    /// It wrote more than anybody will read as a reply.
    case tooMuchOutput
    /// It ended by itself, and the kernel did not let us read its reply, or not to its end.
    case outputLost(Errno)
  }

  var status: ExitStatus
  var ending: Ending
  var output: [UInt8]
  var errorTail: [UInt8]

  /// The longest reply that is read; results of real plugins have a few kilobytes.
  static let longestOutput = 4 << 20
  /// How much of the end of standard error is kept.
  static let longestErrorTail = 4096
}

/// One plugin process and the three pipes to it.
///
/// The configuration is written before the process starts as far as the pipe takes it, which is nearly always all of it:
/// then nothing is left to do but wait. Whatever the plugin does with its ends (never reads, closes early, writes
/// without end, hands them to a grandchild that outlives it), the conversation is over when the process is.
struct PluginProcess: ~Copyable {
  private var child: ChildProcess
  private var input = Descriptor(-1)
  private var output: Descriptor
  private var errors: Descriptor
  private var unwritten: ArraySlice<UInt8>
  private let limits: ExecutionLimits
  private let passesOnErrors: Bool
  private var outcome = ProcessOutcome(status: .unknown, ending: .byItself, output: [], errorTail: [])
  private var stage: Stage
  private var buffer: [UInt8]

  private enum Stage {
    case running(until: Deadline?)
    /// SIGTERM was sent.
    case asked(until: Deadline)
    /// SIGKILL was sent. Even that has to wait for a process that sits in the kernel.
    case killed(until: Deadline)
  }

  /// Starts `path` with `configuration` on its standard input.
  init(
    path: String, environment: inout EnvironmentBlock, configuration: [UInt8], limits: ExecutionLimits,
    passesOnErrors: Bool, sharing shared: Int32
  ) throws(Errno) {
    var inputPipe = try Pipe()
    var outputPipe = try Pipe()
    var errorPipe = try Pipe()
    let written = PluginProcess.fill(inputPipe.writer.number, with: configuration)
    child = try ChildProcess(
      path: path, environment: &environment, input: inputPipe.reader.number, output: outputPipe.writer.number,
      errors: errorPipe.writer.number, sharing: shared, ownGroup: limits.canStop)
    if written < configuration.count { input = inputPipe.writer.take() }
    unwritten = configuration[written...]
    output = outputPipe.reader.take()
    errors = errorPipe.reader.take()
    self.limits = limits
    self.passesOnErrors = passesOnErrors
    stage = .running(until: limits.nextDeadline)
    buffer = [UInt8](repeating: 0, count: 8192)
  }

  /// Writes what fits, at a time when the reading end is still ours and no SIGPIPE can come. A page always fits; only
  /// for more does the pipe have to be told not to block.
  private static func fill(_ descriptor: Int32, with bytes: [UInt8]) -> Int {
    if bytes.isEmpty { return 0 }
    if bytes.count > 4096 { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    let result = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress!, $0.count) }
    return max(result, 0)
  }

  /// Stays until the process is over, or as long as the limits allow.
  mutating func finish() -> ProcessOutcome {
    let hasEnded = untilEnd()
    drain()
    switch outcome.ending {
    case .byItself, .outputLost: break
    case .timedOut, .cancelled, .tooMuchOutput: child.send(SIGKILL)
    }
    // A process that not even SIGKILL has ended sits in the kernel; nobody can wait for that.
    if hasEnded { outcome.status = child.wait() }
    return outcome
  }

  // MARK: - Waiting

  /// Whether the process has ended, or is at least about to: all there is left to do is to wait for it.
  private mutating func untilEnd() -> Bool {
    while true {
      if !output.isOpen && !errors.isOpen && !input.isOpen && !limits.canStop { return true }
      var ready = Readiness()
      let count = ready.poll(
        output: output.number, errors: errors.number, input: input.number, end: child.endDescriptor,
        cancellation: isRunning ? limits.cancellation?.descriptor ?? -1 : -1, timeout: pollTimeout)
      if count > 0 { exchange(ready) }
      if ready.end || (child.endDescriptor < 0 && child.hasEnded()) { return true }
      if outcome.output.count > ProcessOutcome.longestOutput && isRunning { stop(.tooMuchOutput) }
      if ready.cancellation || (isRunning && limits.cancellation?.isCancelled == true) { stop(.cancelled) }
      switch stage {
      case .running(let until): if let until, until.hasPassed { stop(.timedOut) }
      case .asked(let until):
        if until.hasPassed {
          child.send(SIGKILL)
          stage = .killed(until: .after(.seconds(5)))
        }
      case .killed(let until): if until.hasPassed { return false }
      }
    }
  }

  private var isRunning: Bool {
    if case .running = stage { true } else { false }
  }

  private var pollTimeout: Int32 {
    let timeout: Int32 =
      switch stage {
      case .running(let until): until?.pollTimeout ?? -1
      case .asked(let until), .killed(let until): until.pollTimeout
      }
    // Without a descriptor for the end it is looked for now and then.
    guard child.endDescriptor < 0 else { return timeout }
    return timeout < 0 ? 20 : min(timeout, 20)
  }

  private mutating func stop(_ reason: ProcessOutcome.Ending) {
    guard isRunning else { return }
    outcome.ending = reason
    child.send(SIGTERM)
    stage = .asked(until: .after(limits.gracePeriod))
  }

  // MARK: - Reading and writing

  private mutating func exchange(_ ready: Readiness) {
    if ready.output.readable { readOutput() } else if ready.output.closed { output.close() }
    if ready.errors.readable { readErrors() } else if ready.errors.closed { errors.close() }
    if ready.inputClosed { input.close() } else if ready.inputWritable { writeInput() }
  }

  /// Takes what the process had written before it ended. A grandchild may hold the pipes and even go on writing: what
  /// is there now is all that counts.
  private mutating func drain() {
    var rounds = 256
    while output.isOpen || errors.isOpen, rounds > 0 {
      rounds -= 1
      var ready = Readiness()
      let count = ready.poll(output: output.number, errors: errors.number, timeout: 0)
      if count <= 0 { return }
      exchange(ready)
    }
  }

  private mutating func readOutput() {
    guard let count = read(output.number) else { return }
    if count < 0 {
      if case .byItself = outcome.ending { outcome.ending = .outputLost(Errno(rawValue: errno)) }
      output.close()
    } else if count == 0 {
      output.close()
    } else if outcome.output.count <= ProcessOutcome.longestOutput {
      outcome.output.append(contentsOf: buffer[..<count])
    }
  }

  private mutating func readErrors() {
    guard let count = read(errors.number) else { return }
    if count <= 0 {
      errors.close()
      return
    }
    outcome.errorTail.append(contentsOf: buffer[..<count])
    if outcome.errorTail.count > ProcessOutcome.longestErrorTail {
      outcome.errorTail.removeFirst(outcome.errorTail.count - ProcessOutcome.longestErrorTail)
    }
    if passesOnErrors {
      let buffer = buffer
      withoutBrokenPipeSignal { write(2, buffer, count) < 0 && errno == EPIPE }
    }
  }

  /// The number of bytes that are now in the buffer, 0 at the end, -1 and `errno` for a failure, `nil` for "not now".
  private mutating func read(_ descriptor: Int32) -> Int? {
    let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress!, $0.count) }
    if count >= 0 { return count }
    return errno == EINTR || errno == EAGAIN ? nil : -1
  }

  private mutating func writeInput() {
    var result = 0
    var failure: Int32 = 0
    withoutBrokenPipeSignal {
      result = unwritten.withUnsafeBytes { write(input.number, $0.baseAddress!, $0.count) }
      failure = errno
      return result < 0 && failure == EPIPE
    }
    if result < 0 {
      // A plugin is free not to read what it does not need.
      if failure != EAGAIN && failure != EINTR { input.close() }
      return
    }
    unwritten = unwritten.dropFirst(result)
    if unwritten.isEmpty { input.close() }
  }
}
