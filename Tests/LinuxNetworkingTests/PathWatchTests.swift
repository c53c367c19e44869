import Glibc
import LinuxNetworking
import TestSupport
import Testing

@Suite("Watching paths")
final class PathWatchTests {
  let directory: TemporaryDirectory
  let watch: PathWatch

  init() throws {
    directory = try TemporaryDirectory()
    watch = try PathWatch()
  }

  private func run(_ script: String) throws { try shell("cd \(directory.path)\n\(script)") }

  /// Whether `script` is noticed; what is to be watched is found out anew afterwards, as one who uses a watch does.
  private func notices(_ script: String, _ targets: [PathWatch.Target]) throws -> Bool {
    while try watch.follow(targets) || watch.takeEvents() {}
    try run(script)
    return watch.takeEvents()
  }

  @Test func whatHappensInADirectory() throws {
    try run("mkdir net.d; echo 1 > net.d/a")
    let target = [PathWatch.Target.directory(directory.file("net.d"))]
    for script in [
      "echo 2 > net.d/b", "echo 2 >> net.d/b", ": > net.d/b", "mv net.d/b net.d/c", "rm net.d/c",
      "echo 3 > new; mv new net.d/a",
      "ln -s nowhere net.d/link", "rm net.d/link", "chmod 600 net.d/a", "mkdir net.d/folder",
      "rmdir net.d/folder", "chmod 700 net.d",
    ] {
      #expect(try notices(script, target), "\(script)")
      #expect(!watch.takeEvents())
    }
    for script in [
      "cat net.d/a", "ls net.d", "echo 1 > net.d/.a.swp", "rm net.d/.a.swp", "echo 1 > beside",
      "mkdir others; rm -r others beside",
    ] {
      #expect(try !notices(script, target), "\(script)")
    }
  }

  @Test func directoriesThatComeAndGo() throws {
    let target = [PathWatch.Target.directory(directory.file("etc/cni/net.d"))]
    for script in [
      "mkdir etc", "mkdir etc/cni", "mkdir etc/cni/net.d", "echo 1 > etc/cni/net.d/a", "mv etc/cni etc/old",
      "mv etc/old etc/cni",
      "echo 2 > etc/cni/net.d/a", "rm -r etc/cni/net.d; mkdir etc/cni/net.d; echo 1 > etc/cni/net.d/a",
      "echo 1 > etc/cni/net.d/b",
      "rm -r etc", "mkdir -p etc/cni/net.d", "echo 1 > etc/cni/net.d/c", "mv etc/cni/net.d away",
      "mkdir etc/cni/net.d",
    ] {
      #expect(try notices(script, target), "\(script)")
    }
    // What has been moved away is of no concern any more.
    #expect(try !notices("echo 1 > away/d", target))
    #expect(try !notices("mkdir etc/other; echo 1 > etc/cni/file", target))
  }

  @Test func linksThatAreRedirected() throws {
    try run(
      """
      mkdir -p mounted/..1/net.d mounted/..2/net.d elsewhere
      ln -s ..1 mounted/..data; ln -s ..data/net.d mounted/net.d; ln -s mounted/../mounted/net.d net.d
      """)
    let target = [PathWatch.Target.directory(directory.file("net.d"))]
    for script in [
      "echo 1 > mounted/..1/net.d/a", "ln -s ..2 mounted/..data_tmp; mv -T mounted/..data_tmp mounted/..data",
      "echo 1 > mounted/..2/net.d/a", "ln -sfn \(directory.path)/elsewhere net.d", "echo 1 > elsewhere/a",
      "rm net.d", "mkdir net.d",
    ] {
      #expect(try notices(script, target), "\(script)")
    }
    #expect(try !notices("echo 2 > elsewhere/a; echo 2 > mounted/..1/net.d/a", target))
    try run("rmdir net.d; ln -s net.d net.d")
    #expect(try !watch.follow(target) || watch.follow(target) == false)
  }

  @Test func singleFiles() throws {
    try run("mkdir -p a b; echo 1 > b/real; ln -s ../b/real a/link")
    let target = [PathWatch.Target.file(directory.file("a/link"))]
    for script in [
      "echo 2 > b/real", "echo 3 > b/new; mv b/new b/real", "rm b/real", "echo 4 > b/real",
      "ln -sf ../b/other a/link", "echo 1 > b/other",
    ] {
      #expect(try notices(script, target), "\(script)")
    }
    #expect(try !notices("echo 5 > b/real; echo 5 > a/beside", target))
  }

  @Test func eventsThatWereDropped() throws {
    let limit = try #require(Int(shell("cat /proc/sys/fs/inotify/max_queued_events").dropLast()))
    try run("mkdir net.d")
    while try watch.follow([.directory(directory.file("net.d"))]) || watch.takeEvents() {}
    // Of hidden files, which alone are of no concern; no two in a row are alike, for those the kernel keeps as one.
    for number in 0...(limit / 2) {
      let path = directory.file("net.d/.\(number % 7)")
      close(open(path, O_CREAT | O_WRONLY, 0o600))
      unlink(path)
    }
    #expect(watch.takeEvents())
    #expect(!watch.takeEvents())
  }
}

@Suite("Files that others write in place")
struct SettledFileTests {
  private func content(_ path: String) throws -> String? {
    guard case .content(let bytes, let stamp) = try StateFile.readSettled(path) else { return nil }
    #expect(FileStamp(path: path) == stamp)
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func notWhileSomebodyWrites() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/file"
      try StateFile.write(Array("before".utf8), to: path)
      #expect(try content(path) == "before")
      let writer = open(path, O_WRONLY | O_CLOEXEC)
      write(writer, "after!", 6)
      #expect(try content(path) == nil)
      // Who keeps it open for something else is not waited for.
      var past = [timespec](repeating: timespec(tv_sec: time(nil) - 5, tv_nsec: 0), count: 2)
      futimens(writer, &past)
      #expect(try content(path) == "after!")
      write(writer, " more", 5)
      #expect(try content(path) == nil)
      close(writer)
      #expect(try content(path) == "after! more")
      let reader = open(path, O_RDONLY | O_CLOEXEC)
      #expect(try content(path) == "after! more")
      close(reader)
    }
  }

  @Test func norWhileItIsMapped() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/file"
      try StateFile.write(Array("before".utf8), to: path)
      let writer = open(path, O_RDWR | O_CLOEXEC)
      let memory = mmap(nil, 6, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0)!
      close(writer)
      memory.storeBytes(of: UInt8(ascii: "B"), as: UInt8.self)
      utimes(path, nil)
      #expect(try content(path) == nil)
      munmap(memory, 6)
      #expect(try content(path) == "Before")
    }
  }

  @Test func refusesWhatReadRefuses() throws {
    try withTemporaryDirectory { directory in
      #expect(throws: FileError.self) { try StateFile.readSettled("\(directory)/none") }
      #expect(throws: FileError.self) { try StateFile.readSettled(directory) }
      try StateFile.write([1, 2, 3], to: "\(directory)/file")
      #expect(throws: FileError.self) { try StateFile.readSettled("\(directory)/file", limit: 2) }
    }
  }
}
