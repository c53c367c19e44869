import CNI
import CNIRuntime
import Glibc
import LinuxNetworking
import Synchronization
import TestSupport
import Testing

/// A thousand changes in every way that files are changed, and somebody who looks all the time.
@Suite("A configuration directory under churn")
struct ConfigurationChurnTests {
  private static let networks = 8

  /// Begins and ends with the same number, and is long enough to be written in several pieces.
  private static func text(_ network: Int, _ version: Int, pad: Int = 9000) -> [UInt8] {
    let number = String(1_000_000 + version)
    return Array(
      """
      {"cniVersion":"1.0.0","name":"n\(network)","begin":"\(number)","pad":"\(String(repeating: "x", count: pad))",
       "plugins":[{"type":"bridge","end":"\(number)"}]}
      """.utf8)
  }

  /// What was seen that cannot have been meant; and how often was looked.
  private final class Observations: Sendable {
    private let state = Mutex<(wrong: [String], looks: Int, stop: Bool)>(([], 0, false))
    var wrong: [String] { state.withLock { $0.wrong } }
    var looks: Int { state.withLock { $0.looks } }
    var isStopped: Bool { state.withLock { $0.stop } }
    func stop() { state.withLock { $0.stop = true } }

    func look(_ contents: ConfigurationDirectory.Contents) {
      for network in contents.networks {
        let begin = network.list.json["begin"]?.string
        let end = network.list.plugins.first?.json["end"]?.string
        let isRight = begin != nil && begin == end && network.file.hasSuffix("\(network.name).conflist")
        if !isRight { state.withLock { $0.wrong.append("\(network.file): \(begin ?? "-") \(end ?? "-")") } }
      }
      state.withLock { $0.looks += 1 }
    }
  }

  @Test(arguments: [LiveConfigurations.Mode.watching, .onUse])
  func aThousandChanges(mode: LiveConfigurations.Mode) async throws {
    let temporary = try TemporaryDirectory()
    let path = temporary.file("net.d")
    mkdir(path, 0o755)
    let live = LiveConfigurations(ConfigurationDirectory(path), mode: mode)
    defer { live.close() }
    let observations = Observations()
    let follower = Task { [changes = live.changes] in
      for await change in changes { observations.look(change.contents) }
    }
    let outcomes = try concurrently(2) { number -> [String: String] in
      if number == 1 {
        while !observations.isStopped {
          observations.look(live.contents)
          usleep(300)
        }
        return [:]
      }
      defer { observations.stop() }
      var churn = Churn(path)
      for _ in 0..<1000 { churn.makeAnyChange() }
      // Whatever comes last, the right state follows within a second.
      for change in Churn.Change.allCases {
        // A machine that is busy with other tests may take longer once or twice, and gets there all the same.
        var isInTime = false
        for _ in 0..<4 where !isInTime {
          for _ in 0..<10 { churn.make(change) }
          let start = ContinuousClock.now
          while Self.state(live.contents) != churn.expected, .now < start + .seconds(60) { usleep(2000) }
          #expect(Self.state(live.contents) == churn.expected, "after \(change)")
          isInTime = .now < start + .seconds(1)
        }
        #expect(isInTime, "after \(change)")
      }
      return churn.expected
    }
    #expect(Self.state(live.contents) == outcomes[0])
    live.close()
    await follower.value
    #expect(observations.wrong.isEmpty, "\(observations.wrong.prefix(5))")
    #expect(observations.looks > 20)
    print("configuration churn (\(mode)): 1000 changes, looked at \(observations.looks) times")
  }

  private static func state(_ contents: ConfigurationDirectory.Contents) -> [String: String] {
    Dictionary(uniqueKeysWithValues: contents.networks.map { ($0.name, $0.list.json["begin"]?.string ?? "") })
  }

  /// Makes changes, and knows what is to be there after them: the last good content of each file that is there.
  private struct Churn {
    enum Change: CaseIterable {
      case rename, truncateAndWrite, delete, recreate, overwrite, breakAndMend, replaceDirectory
    }

    private static let mixture: [(Change, count: Int)] = [
      (.rename, 5), (.truncateAndWrite, 4), (.overwrite, 3), (.delete, 2), (.recreate, 2), (.breakAndMend, 2),
      (.replaceDirectory, 2),
    ]
    private static let all = mixture.flatMap { Array(repeating: $0.0, count: $0.count) }

    private let path: String
    private var random = Random(state: 20260101)
    private var version = 0
    private(set) var expected: [String: String] = [:]

    init(_ path: String) { self.path = path }

    mutating func makeAnyChange() { make(Self.all[Int(random.next() % UInt64(Self.all.count))]) }

    mutating func make(_ change: Change) {
      version += 1
      let network = Int(random.next() % UInt64(networks))
      let name = "n\(network)"
      let file = "\(path)/\(network)0-\(name).conflist"
      let whole = text(network, version)
      func replace(_ bytes: [UInt8]) { #expect(throws: Never.self) { try StateFile.write(bytes, to: file) } }
      switch change {
      case .rename: replace(text(network, version, pad: 10))
      case .truncateAndWrite: writeInPieces(whole, file, O_CREAT | O_TRUNC, &random)
      case .delete: unlink(file)
      case .recreate:
        unlink(file)
        writeInPieces(whole, file, O_CREAT | O_EXCL, &random)
      case .overwrite:
        // Over the old content, which is as long: every state between is valid JSON.
        if stampSize(file) == whole.count { writeInPieces(whole, file, 0, &random) } else { replace(whole) }
      case .breakAndMend:
        // What counts in between depends on who has seen what before.
        writeInPieces(Array(whole.dropLast(30)), file, O_CREAT | O_TRUNC, &random)
        usleep(UInt32(random.next() % 3000))
        replace(whole)
      case .replaceDirectory:
        let away = "\(path).\(version)"
        Glibc.rename(path, away)
        mkdir(path, 0o755)
        for (name, _) in expected {
          let file = "\(name.dropFirst())0-\(name).conflist"
          Glibc.rename("\(away)/\(file)", "\(path)/\(file)")
        }
        removeTree(away)
        return
      }
      expected[name] = change == .delete ? nil : String(1_000_000 + version)
    }
  }

  private static func stampSize(_ file: String) -> Int { FileStamp(path: file).map { Int($0.size) } ?? -1 }

  private static func writeInPieces(_ bytes: [UInt8], _ file: String, _ flags: Int32, _ random: inout Random)
  {
    let descriptor = open(file, O_WRONLY | O_CLOEXEC | flags, 0o644)
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(1 + Int(random.next() % 4000))
      _ = Array(piece).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      rest = rest.dropFirst(piece.count)
      if random.next() % 4 == 0 { usleep(UInt32(random.next() % 500)) }
    }
    close(descriptor)
  }

  /// The same numbers every time (xorshift).
  private struct Random {
    var state: UInt64
    mutating func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state >> 8
    }
  }
}
