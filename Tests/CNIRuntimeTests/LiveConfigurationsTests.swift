import CNI
import Glibc
import LinuxNetworking
import Synchronization
import TestSupport
import Testing

@testable import CNIRuntime

@Suite("Live configurations")
final class LiveConfigurationsTests {
  let directory: TemporaryDirectory
  var netd: ConfigurationDirectory { ConfigurationDirectory(directory.file("net.d")) }

  init() throws { directory = try TemporaryDirectory() }

  private func list(_ name: String, _ value: Int = 0) -> String {
    #"{"cniVersion":"1.0.0","name":"\#(name)","plugins":[{"type":"bridge","value":\#(value)}]}"#
  }

  /// A file in the directory, written elsewhere and renamed into place.
  private func put(_ text: String, _ name: String) throws {
    try StateFile.write(Array(text.utf8), to: "\(netd.path)/\(name)")
  }

  private func run(_ script: String) throws { try shell("cd \(directory.path)\n\(script)") }

  /// Names and values: `a=1 b=2`.
  private func text(_ contents: ConfigurationDirectory.Contents) -> String {
    contents.networks.map { network in
      "\(network.name)=\(network.list.plugins.map { $0.json["value"]?.integer().map { (value: Int) in "\(value)" } ?? "-" }.joined(separator: ","))"
    }.joined(separator: " ")
  }

  /// Waits for that; long, for other tests may have the machine for themselves. How soon it is so, the churn test asks.
  private func expect(
    _ live: LiveConfigurations, _ expected: String, _ comment: Comment = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for _ in 0..<4000 where text(live.contents) != expected { usleep(5000) }
    #expect(text(live.contents) == expected, comment, sourceLocation: sourceLocation)
  }

  private func isGone(_ live: LiveConfigurations, _ problem: String) -> Bool {
    for _ in 0..<4000 where live.contents.problems.contains(where: { "\($0)".contains(problem) }) {
      usleep(5000)
    }
    return !live.contents.problems.contains { "\($0)".contains(problem) }
  }

  @Test(arguments: [LiveConfigurations.Mode.watching, .onUse])
  func followsADirectory(mode: LiveConfigurations.Mode) throws {
    let live = LiveConfigurations(netd, mode: mode)
    defer { live.close() }
    #expect(text(live.contents) == "" && live.contents.problems.isEmpty)
    #expect(live.watchFailure == nil)
    try run("mkdir net.d")
    try put(list("b", 1), "20-b.conflist")
    expect(live, "b=1")
    try put(list("a", 1), "10-a.conflist")
    expect(live, "a=1 b=1")
    try put(list("a", 2), "10-a.conflist")
    expect(live, "a=2 b=1")
    try run("mv net.d/10-a.conflist net.d/30-a.conflist")
    expect(live, "b=1 a=2")
    try run("rm net.d/20-b.conflist; echo 'not of interest' > net.d/README")
    expect(live, "a=2")
    try put(#"{"cniVersion":"0.4.0","name":"single","type":"ptp"}"#, "00-single.conf")
    expect(live, "single=- a=2")
    try run("rm -r net.d")
    expect(live, "")
    try run("mkdir net.d")
    try put(list("c", 1), "10-c.conflist")
    expect(live, "c=1")
    try run("mv net.d away; mkdir -p new/net.d; mv new/net.d .; cp away/10-c.conflist net.d/20-c.conflist")
    expect(live, "c=1")
    try put(list("c", 2), "20-c.conflist")
    expect(live, "c=2")
  }

  @Test func brokenFilesStandForWhatTheyHeld() throws {
    try run("mkdir net.d")
    try put(list("a", 1), "10-a.conflist")
    try put("{", "20-b.conflist")
    let live = LiveConfigurations(netd)
    defer { live.close() }
    #expect(text(live.contents) == "a=1")
    #expect(live.contents.problems.map(\.file) == ["\(netd.path)/20-b.conflist"])
    #expect(live.contents.outdatedFiles.isEmpty)
    try run("printf '{\"cniVersion\":\"1.0.0\",\\n\"nam' > net.d/10-a.conflist")
    for _ in 0..<4000 where live.contents.outdatedFiles.isEmpty { usleep(5000) }
    #expect(text(live.contents) == "a=1")
    #expect(live.contents.outdatedFiles == ["\(netd.path)/10-a.conflist"])
    #expect(live.contents.problems.first { $0.file.hasSuffix("10-a.conflist") }?.line == 2)
    // One that replaces it counts, though it comes later.
    try put(list("a", 5), "50-a.conflist")
    expect(live, "a=5")
    try run("rm net.d/50-a.conflist")
    expect(live, "a=1")
    try put(list("a", 2), "10-a.conflist")
    expect(live, "a=2")
    #expect(isGone(live, "10-a"))
    #expect(live.contents.outdatedFiles.isEmpty)
    try run(": > net.d/10-a.conflist")
    try put(list("b", 1), "20-b.conflist")
    expect(live, "a=2 b=1")
    try run("rm net.d/10-a.conflist")
    expect(live, "b=1")
    // What is gone is forgotten: nothing of it comes back.
    try put("{", "10-a.conflist")
    try put(list("b", 2), "20-b.conflist")
    expect(live, "b=2")
  }

  @Test func aFileThatIsBeingWrittenDoesNotCount() throws {
    try run("mkdir net.d")
    try put(list("a", 11), "10-a.conflist")
    for mode in [LiveConfigurations.Mode.watching, .onUse] {
      let live = LiveConfigurations(netd, mode: mode)
      defer { live.close() }
      expect(live, "a=11")
      // In place and of the same length: each of these states is valid JSON.
      let file = open("\(netd.path)/10-a.conflist", O_WRONLY | O_CLOEXEC)
      let text = Array(list("a", 22).utf8)
      let place = try #require(text.firstIndex(of: UInt8(ascii: "2")))
      pwrite(file, "2", 1, off_t(place))
      usleep(100_000)
      #expect(self.text(live.contents) == "a=11")
      #expect(live.contents.problems.isEmpty && live.contents.outdatedFiles.count == 1)
      pwrite(file, "2", 1, off_t(place + 1))
      usleep(50_000)
      #expect(self.text(live.contents) == "a=11")
      close(file)
      expect(live, "a=22")
      #expect(live.contents.outdatedFiles.isEmpty)
      try put(list("a", 11), "10-a.conflist")
    }
  }

  @Test func configMaps() throws {
    try run(
      "mkdir net.d net.d/..1 net.d/..2; ln -s ..1 net.d/..data; ln -s ..data/10-a.conflist net.d/10-a.conflist"
    )
    try run(
      "echo '\(list("a", 1))' > net.d/..1/10-a.conflist; echo '\(list("a", 2))' > net.d/..2/10-a.conflist")
    let live = LiveConfigurations(netd)
    defer { live.close() }
    expect(live, "a=1")
    try run("ln -s ..2 net.d/..data_tmp; mv -T net.d/..data_tmp net.d/..data; rm -r net.d/..1")
    expect(live, "a=2")
    try run("mkdir net.d/..3; ln -s ..3 net.d/..data_tmp; mv -T net.d/..data_tmp net.d/..data")
    expect(live, "")
    #expect(live.contents.problems.map(\.reason) == ["it is a symbolic link to a file that is not there"])
    try run("echo '\(list("a", 3))' > net.d/..3/10-a.conflist")
    expect(live, "a=3")
  }

  @Test func linkedDirectoriesAndFiles() throws {
    try run("mkdir one two shared; ln -s one current; ln -s current net.d")
    try run("echo '\(list("a", 1))' > one/10-a.conflist; echo '\(list("a", 2))' > two/10-a.conflist")
    let live = LiveConfigurations(netd)
    defer { live.close() }
    expect(live, "a=1")
    try run("ln -s two new; mv -T new current")
    expect(live, "a=2")
    try run("ln -s \(directory.path)/shared/b two/20-b.conflist")
    try run("echo '\(list("b", 1))' > shared/b")
    expect(live, "a=2 b=1")
    try run("echo '\(list("b", 2))' > shared/b")
    expect(live, "a=2 b=2")
    try run("rm shared/b")
    expect(live, "a=2")
  }

  @Test func pluginsInAFolder() throws {
    try run("mkdir net.d")
    try put(list("a", 1), "10-a.conflist")
    let live = LiveConfigurations(netd)
    defer { live.close() }
    expect(live, "a=1")
    try run("mkdir net.d/a; echo '{\"type\":\"tuning\",\"value\":7}' > net.d/a/10.conf")
    expect(live, "a=1,7")
    try run("echo '{\"type\":\"tuning\",' > net.d/a/20.conf")
    usleep(50_000)
    expect(live, "a=1,7")
    try run("echo '{\"type\":\"tuning\",\"value\":8}' > net.d/a/20.conf")
    expect(live, "a=1,7,8")
    try run("rm -r net.d/a")
    expect(live, "a=1")
  }

  @Test func namedAndDefaultNetworks() throws {
    let live = LiveConfigurations(netd)
    defer { live.close() }
    #expect(
      runtimeError { () throws(RuntimeError) in _ = try live.defaultNetwork() }?.kind == .noConfiguration)
    #expect(
      runtimeError { () throws(RuntimeError) in _ = try live.network(named: "a") }?.kind == .noConfiguration)
    try run("mkdir net.d")
    try put(list("b", 1), "20-b.conflist")
    // At once: who asks for what has been written before finds it.
    #expect(try live.network(named: "b").list.name == "b")
    #expect(try live.defaultNetwork().file == "\(netd.path)/20-b.conflist")
    try put("{", "10-a.conflist")
    let error = runtimeError { () throws(RuntimeError) in _ = try live.network(named: "a") }
    #expect(error?.kind == .networkNotFound)
    #expect(error?.description.contains("10-a.conflist") == true)
  }

  @Test func changesAsASequence() async throws {
    try run("mkdir net.d")
    try put(list("b", 1), "20-b.conflist")
    let live = LiveConfigurations(netd)
    var changes = live.changes.makeAsyncIterator()
    let first = try #require(await changes.next())
    #expect(first.added == ["b"] && first.removed.isEmpty && first.changed.isEmpty && first.changesDefault)
    try put(list("a", 1), "10-a.conflist")
    let second = try #require(await changes.next())
    #expect(second.added == ["a"] && second.changesDefault && text(second.contents) == "a=1 b=1")
    try put(list("b", 2), "20-b.conflist")
    let third = try #require(await changes.next())
    #expect(third.changed == ["b"] && third.added.isEmpty && !third.changesDefault)
    // What happens while nobody asks is told as one.
    try put(list("c", 1), "30-c.conflist")
    expect(live, "a=1 b=2 c=1")
    try run("rm net.d/10-a.conflist")
    expect(live, "b=2 c=1")
    let fourth = try #require(await changes.next())
    #expect(fourth.added == ["c"] && fourth.removed == ["a"] && fourth.changesDefault)

    let waiting = Task { [changes = live.changes] in
      var count = 0
      for await _ in changes { count += 1 }
      return count
    }
    let cancelled = Task { [changes = live.changes] in
      for await _ in changes {}
      return true
    }
    try await Task.sleep(for: .milliseconds(20))
    cancelled.cancel()
    #expect(await cancelled.value)
    live.close()
    #expect(await waiting.value == 1)
    #expect(await changes.next() == nil)
    var late = live.changes.makeAsyncIterator()
    #expect(await late.next() != nil)
    #expect(await late.next() == nil)
    // Closed, it still tells what there is.
    try put(list("z", 9), "90-z.conflist")
    #expect(text(live.contents) == "b=2 c=1 z=9")
    live.close()
  }

  /// Looking at the directory after each change would cost more than the changes.
  @Test func aStormOfChangesIsLookedAtNowAndThen() throws {
    try run("mkdir net.d")
    try put(list("a"), "10-a.conflist")
    let live = LiveConfigurations(netd)
    defer { live.close() }
    let looks = Mutex(0)
    // Called for each look that finds something else than the one before, and here each one does.
    _ = live.state.add(observe: { _ in looks.withLock { $0 += 1 } }, finish: {})
    let changes = 3000
    let begin = ContinuousClock.now
    for value in 1...changes { try put(list("a", value), "10-a.conflist") }
    expect(live, "a=\(changes)")
    let elapsed = begin.duration(to: .now)
    let count = looks.withLock { $0 }
    print("\(changes) changes within \(elapsed) were looked at \(count) times")
    // It waits for a pause of 10 ms each time, and only in a storm without any it looks all the same.
    #expect(count >= 2 && .milliseconds(10 * (count - 2)) <= elapsed)
    #expect(count < changes / 4)
  }

  @Test func manyAtOnce() async throws {
    try run("mkdir net.d")
    for number in 0..<10 { try put(list("n\(number)", 1), "\(number).conflist") }
    // Made and given up in great numbers, watched and read from all sides meanwhile.
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<20 {
        group.addTask { [netd] in
          let live = LiveConfigurations(netd)
          var iterator = live.changes.makeAsyncIterator()
          #expect(await iterator.next()?.contents.networks.count == 10)
          live.reload()
          #expect(live.contents.networks.count == 10)
        }
      }
    }
  }
}
