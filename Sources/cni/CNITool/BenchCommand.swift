import CNIRuntime
import Glibc

/// Times ADD and DEL in this process, for `make bench`; not listed among the commands.
enum BenchCommand {
  static let name = "bench-attach"

  /// `bench-attach NETWORK NETNS --count N`: prints `ADD nanoseconds` and `DEL nanoseconds` for each of N attachments.
  static func run(_ words: [String]) -> Int32 {
    do {
      let count = Arguments.Option("--count", value: "N", help: "")
      let arguments = try Arguments(
        words, options: [count, CNITool.interface, CNITool.container, CNITool.cache])
      guard arguments.positional.count == 2 else { throw UsageError(message: "NETWORK NETNS --count N") }
      let surroundings = Surroundings(arguments)
      let list = try surroundings.network(arguments.positional[0])
      let parameters = try surroundings.parameters(arguments, namespace: arguments.positional[1])
      for _ in 0..<(arguments["--count"].flatMap { Int($0) } ?? 1) {
        let begin = now()
        _ = try surroundings.runtime.add(list, parameters)
        let added = now()
        try surroundings.runtime.delete(list, parameters)
        let deleted = now()
        Terminal.print("ADD \(added - begin)\nDEL \(deleted - added)")
        // The kernel goes on freeing what was deleted, and holds up who comes next: that is no part of an ADD.
        usleep(50_000)
      }
      return 0
    } catch {
      Terminal.complain("\(name): \(error)")
      return 1
    }
  }

  private static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }
}
