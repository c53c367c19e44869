import CNI
import CNIRuntime
import Glibc

/// Times ADD and DEL in this process, for `make bench` and `make curves`; not listed among the commands.
///
/// Plugins are those linked in where `CNI_PATH` is empty, and otherwise executed: a runtime that stays, either way.
enum BenchCommand {
  static let name = "bench-attach"

  /// `bench-attach NETWORK NETNS... [--count N] [--in-flight K] [--host-port P [--ports M]]`: N times attaches the
  /// containers in all the namespaces, and detaches them, K threads side by side. With P the first container publishes M
  /// ports of the host from P on (one, if not said) as its ports from 80 on, the next one the next M, and so on.
  ///
  /// Prints for each of the N times `ADD wall cpu` and `DEL wall cpu`, of all containers together, in nanoseconds, the
  /// processor's time including that of plugins executed; between them, where there are several, `EACH wall` for each
  /// ADD; and at the end `MEMORY peak own`, in KiB: how much the attachments raised this process' peak resident set, and
  /// how much the part of it that it has alone.
  static func run(_ words: [String]) -> Int32 {
    do {
      let count = Arguments.Option("--count", value: "N", help: "")
      let inFlight = Arguments.Option("--in-flight", value: "K", help: "")
      let hostPort = Arguments.Option("--host-port", value: "P", help: "")
      let ports = Arguments.Option("--ports", value: "M", help: "")
      let arguments = try Arguments(
        words,
        options: [count, inFlight, hostPort, ports, CNITool.interface, CNITool.container, CNITool.cache])
      guard arguments.positional.count >= 2 else { throw UsageError(message: "NETWORK NETNS... --count N") }
      let surroundings = Surroundings(arguments)
      let list = try surroundings.network(arguments.positional[0])
      var containers: [AttachmentParameters] = []
      for namespace in arguments.positional.dropFirst() {
        var parameters = try surroundings.parameters(arguments, namespace: namespace)
        if let first = arguments["--host-port"].flatMap({ Int($0) }) {
          let each = arguments["--ports"].flatMap { Int($0) } ?? 1
          parameters.capabilityArguments = try publishing(each, from: first + containers.count * each)
        }
        containers.append(parameters)
      }
      let threads = max(1, arguments["--in-flight"].flatMap { Int($0) } ?? 1)
      let runtime = surroundings.runtime
      let before = Memory.now()
      for _ in 0..<(arguments["--count"].flatMap { Int($0) } ?? 1) {
        let begin = Moment.now()
        let each = try Crowd.each(containers, threads: threads) { _ = try runtime.add(list, $0) }
        let added = Moment.now()
        _ = try Crowd.each(containers, threads: threads) { try runtime.delete(list, $0) }
        let deleted = Moment.now()
        try Terminal.print("ADD \(added.since(begin))")
        if each.count > 1 { for duration in each { try Terminal.print("EACH \(duration)") } }
        try Terminal.print("DEL \(deleted.since(added))")
        // The kernel goes on freeing what was deleted, and holds up who comes next: that is no part of an ADD.
        usleep(50_000)
      }
      let after = Memory.now()
      try Terminal.print("MEMORY \(after.peak - before.peak) \(after.own - before.own)")
      return 0
    } catch {
      Terminal.complain("\(name): \(error)")
      return 1
    }
  }

  private static func publishing(_ count: Int, from hostPort: Int) throws -> JSONObject {
    let mappings = (0..<count).map {
      "{\"hostPort\":\(hostPort + $0),\"containerPort\":\(80 + $0),\"protocol\":\"tcp\"}"
    }
    return try JSONValue.parse("{\"portMappings\":[\(mappings.joined(separator: ","))]}").object
      ?? JSONObject()
  }
}

/// What both clocks show, in nanoseconds: the one on the wall, and the one of this process and of its ended children.
private struct Moment {
  let wall: Int
  let cpu: Int

  static func now() -> Moment {
    Moment(wall: wallClock(), cpu: used(by: RUSAGE_SELF) + used(by: RUSAGE_CHILDREN))
  }

  static func wallClock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  func since(_ earlier: Moment) -> String { "\(wall - earlier.wall) \(cpu - earlier.cpu)" }

  private static func used(by whom: __rusage_who) -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(whom.rawValue), &usage)
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000_000
      + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000
  }
}

/// What this process takes of the machine's memory, in KiB (proc(5), `status`).
private struct Memory {
  var peak = 0
  var own = 0

  static func now() -> Memory {
    var memory = Memory()
    if let file = fopen("/proc/self/status", "re") {
      defer { fclose(file) }
      var line = [CChar](repeating: 0, count: 256)
      while fgets(&line, Int32(line.count), file) != nil {
        let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
          .split { $0 == " " || $0 == "\t" || $0 == "\n" }
        guard words.count > 1, let value = Int(words[1]) else { continue }
        if words[0] == "VmHWM:" { memory.peak = value }
        if words[0] == "RssAnon:" { memory.own = value }
      }
    }
    return memory
  }
}

/// Several threads that share out the same work.
private final class Crowd: @unchecked Sendable {
  private let containers: [AttachmentParameters]
  private let threads: Int
  private let work: (AttachmentParameters) throws -> Void
  /// One place for each container, written by the thread that has it.
  private let durations: UnsafeMutablePointer<Int>
  /// One place for each thread.
  private let failures: UnsafeMutablePointer<(any Error)?>

  /// Does `work` for all containers; the time that each took, in nanoseconds. One thread is the calling one.
  static func each(
    _ containers: [AttachmentParameters], threads: Int,
    _ work: @escaping (AttachmentParameters) throws -> Void
  ) throws -> [Int] {
    let crowd = Crowd(containers, min(threads, containers.count), work)
    if crowd.threads == 1 { crowd.share(of: 0) } else { crowd.runThreads() }
    for thread in 0..<crowd.threads { if let failure = crowd.failures[thread] { throw failure } }
    return Array(UnsafeBufferPointer(start: crowd.durations, count: containers.count))
  }

  private init(
    _ containers: [AttachmentParameters], _ threads: Int,
    _ work: @escaping (AttachmentParameters) throws -> Void
  ) {
    self.containers = containers
    self.threads = threads
    self.work = work
    durations = .allocate(capacity: containers.count)
    durations.initialize(repeating: 0, count: containers.count)
    failures = .allocate(capacity: threads)
    failures.initialize(repeating: nil, count: threads)
  }

  deinit {
    durations.deallocate()
    failures.deinitialize(count: threads)
    failures.deallocate()
  }

  private func share(of thread: Int) {
    do {
      for index in stride(from: thread, to: containers.count, by: threads) {
        let begin = Moment.wallClock()
        try work(containers[index])
        durations[index] = Moment.wallClock() - begin
      }
    } catch {
      failures[thread] = error
    }
  }

  private final class Seat {
    let crowd: Crowd
    let thread: Int
    init(_ crowd: Crowd, _ thread: Int) {
      self.crowd = crowd
      self.thread = thread
    }
  }

  private func runThreads() {
    var started: [pthread_t] = []
    for thread in 0..<threads {
      let seat = Unmanaged.passRetained(Seat(self, thread))
      var identifier = pthread_t()
      // The function returns: a thread that ends by pthread_exit is unwound, which costs 20 ms the first time.
      let failure = pthread_create(
        &identifier, nil,
        { argument in
          let seat = Unmanaged<Seat>.fromOpaque(argument!).takeRetainedValue()
          seat.crowd.share(of: seat.thread)
          return nil
        }, seat.toOpaque())
      if failure == 0 {
        started.append(identifier)
      } else {
        seat.release()
        share(of: thread)
      }
    }
    for identifier in started { pthread_join(identifier, nil) }
  }
}
