import Glibc
import LinuxNetworking
import SystemPackage
import TestSupport
import Testing

@Suite("State files")
struct StateFileTests {
  private func failure<R>(_ body: () throws(FileError) -> R) -> FileError? {
    do throws(FileError) {
      _ = try body()
      return nil
    } catch { return error }
  }

  private func entries(_ directory: String) throws -> String { try shell("ls -A \(directory)") }

  @Test(arguments: [false, true])
  func whatIsWrittenIsRead(durable: Bool) throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/state"
      for bytes in [Array("hello".utf8), [], [UInt8](repeating: 7, count: 300_000), Array("x".utf8)] {
        try StateFile.write(bytes, to: path, durable: durable)
        #expect(try StateFile.read(path) == bytes)
        #expect(try StateFile.readIfPresent(path) == bytes)
      }
      #expect(try entries(directory) == "state\n")
      #expect(try shell("stat -c %a \(path)") == "600\n")
      try StateFile.write([], to: path, mode: 0o644, durable: durable)
      #expect(try shell("stat -c %a \(path)") == "644\n")
      try StateFile.create([1, 2], at: "\(directory)/new", mode: 0o640, durable: durable)
      #expect(try StateFile.read("\(directory)/new") == [1, 2])
      #expect(try shell("stat -c %a \(directory)/new") == "640\n")
    }
  }

  @Test func missingFiles() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/none"
      #expect(
        failure { () throws(FileError) in try StateFile.read(path) }
          == FileError(path: path, operation: "read", errno: .noSuchFileOrDirectory))
      #expect(try StateFile.readIfPresent(path) == nil)
      #expect(try StateFile.remove(path) == false)
      #expect(try StateFile.remove("\(directory)/none/below") == false)
      #expect(try StateFile.names(in: path) == [])
      try StateFile.removeStaleTemporaries(in: path)
      let error = failure { () throws(FileError) in try StateFile.write([], to: "\(path)/x") }
      #expect(error?.isNotFound == true)
      #expect(error?.description == "cannot write \(path)/x: No such file or directory (ENOENT)")
      try StateFile.write([], to: path)
      #expect(try StateFile.remove(path) == true)
      #expect(try entries(directory) == "")
    }
  }

  @Test func readsOnlyFilesOfThatSize() throws {
    try withTemporaryDirectory { directory in
      try StateFile.write([UInt8](repeating: 1, count: 100), to: "\(directory)/file")
      #expect(try StateFile.read("\(directory)/file", limit: 100).count == 100)
      for (path, limit, errno) in [
        ("\(directory)/file", 99, Errno.fileTooLarge), ("\(directory)/file", 0, .fileTooLarge),
        (directory, 99, .isDirectory), ("/dev/zero", 99, .invalidArgument),
        ("/proc/self/maps", 99, .fileTooLarge),
        ("\(directory)/file\0x", 100, .invalidArgument), ("\(directory)/loop", 1, .tooManySymbolicLinkLevels),
        ("\(directory)/file/x", 1, .notDirectory), ("\(directory)/fifo", 1, .invalidArgument),
      ] {
        try shell("cd \(directory); test -e fifo || mkfifo fifo; ln -sf loop loop")
        let error = failure { () throws(FileError) in try StateFile.read(path, limit: limit) }
        #expect(error == FileError(path: path, operation: "read", errno: errno))
      }
      // Files of /proc say that they are empty.
      #expect(try StateFile.read("/proc/self/status").count > 500)
      #expect(try StateFile.read("/proc/self/maps").count > 4096)
    }
  }

  @Test func readersSeeOneOrTheOther() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/state"
      let versions = (UInt8(0)..<4).map { [UInt8](repeating: $0, count: 20_000 + 30_000 * Int($0)) }
      try StateFile.write(versions[0], to: path)
      let counts = try concurrently(4) { thread in
        var whole = 0
        for round in 0..<300 {
          if thread < 2 {
            try StateFile.write(versions[(round + thread) % 4], to: path)
            whole += 1
          } else if versions.contains(try StateFile.read(path)) {
            whole += 1
          }
        }
        return whole
      }
      #expect(counts == [300, 300, 300, 300])
      #expect(try entries(directory) == "state\n")
    }
  }

  /// Of several that write at once, each has had its content there when it is done: the file is never again what it was
  /// before.
  @Test func writersDoNotLoseEachOther() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/state"
      for round in 0..<400 {
        try StateFile.write([255], to: path)
        _ = try concurrently(4) { thread in try StateFile.write([UInt8(thread)], to: path) }
        let last = try StateFile.read(path)
        #expect(last.count == 1 && last[0] < 4, "round \(round): \(last)")
      }
      #expect(try entries(directory) == "state\n")
    }
  }

  @Test func oneCreatorWins() throws {
    try withTemporaryDirectory { directory in
      for round in 0..<20 {
        let path = "\(directory)/\(round)"
        let winners = try concurrently(6) { thread in
          let error = failure { () throws(FileError) in
            try StateFile.create([UInt8](repeating: UInt8(thread), count: 10_000), at: path)
          }
          #expect(error == nil || error == FileError(path: path, operation: "create", errno: .fileExists))
          return error == nil
        }
        #expect(winners.count { $0 } == 1)
        #expect(try StateFile.read(path).first.map(Int.init) == winners.firstIndex(of: true))
      }
      #expect(try StateFile.names(in: directory).count == 20)
      #expect(try shell("ls -A \(directory) | wc -l") == "20\n")
    }
  }

  @Test func neverFollowsALink() throws {
    try withTemporaryDirectory { directory in
      try shell("cd \(directory); echo precious >target; ln -s target link; ln -s nowhere dangling")
      try StateFile.write([1], to: "\(directory)/link")
      #expect(try shell("cat \(directory)/target") == "precious\n")
      #expect(throws: FileError.self) { try StateFile.create([1], at: "\(directory)/dangling") }
      #expect(try shell("ls -A \(directory)") == "dangling\nlink\ntarget\n")
      try StateFile.remove("\(directory)/link")
    }
  }

  @Test(.requiresRoot) func aFullDiskKeepsTheOldOne() throws {
    try inNewNetworkNamespace {
      try shell("mkdir /run/small; mount -t tmpfs -o size=64k none /run/small")
      try StateFile.write([1, 2, 3], to: "/run/small/x")
      let large = [UInt8](repeating: 0, count: 1 << 20)
      #expect(
        failure { () throws(FileError) in try StateFile.write(large, to: "/run/small/x") }
          == FileError(path: "/run/small/x", operation: "write", errno: .noSpace))
      #expect(
        failure { () throws(FileError) in try StateFile.create(large, at: "/run/small/y") }?.errno == .noSpace
      )
      #expect(try entries("/run/small") == "x\n")
      #expect(try StateFile.read("/run/small/x") == [1, 2, 3])
      try shell("mount -o remount,ro /run/small")
      let error = failure { () throws(FileError) in try StateFile.write([], to: "/run/small/x") }
      #expect(error?.description == "cannot write /run/small/x: Read-only file system (EROFS)")
      #expect(
        failure { () throws(FileError) in try StateFile.remove("/run/small/x") }?.errno == .readOnlyFileSystem
      )
      // What is there need not be made.
      try StateFile.createDirectories("/run/small")
    }
  }

  @Test func hostilePaths() throws {
    try withTemporaryDirectory { directory in
      let cut = "\(directory)/a\0b"
      let long = "\(directory)/\(String(repeating: "n", count: 256))"
      for (path, errno) in [
        (cut, Errno.invalidArgument), (long, .fileNameTooLong), (directory, .isDirectory),
        ("", .noSuchFileOrDirectory),
      ] {
        let error = failure { () throws(FileError) in try StateFile.write([1], to: path) }
        #expect(error == FileError(path: path, operation: "write", errno: errno))
      }
      try shell("mkdir -p \(directory)/d/e")
      for durable in [false, true] {
        let error = failure { () throws(FileError) in
          try StateFile.write([1], to: "\(directory)/d", durable: durable)
        }
        #expect(error == FileError(path: "\(directory)/d", operation: "write", errno: .isDirectory))
        #expect(try shell("cd \(directory); ls -A . d; rmdir d/e; mkdir d/e") == ".:\nd\n\nd:\ne\n")
      }
      try shell("rm -r \(directory)/d")
      #expect(failure { () throws(FileError) in try StateFile.remove(cut) }?.errno == .invalidArgument)
      #expect(
        failure { () throws(FileError) in try StateFile.createDirectories(cut) }?.errno == .invalidArgument)
      #expect(failure { () throws(FileError) in try StateFile.remove(directory) }?.errno == .isDirectory)
      #expect(try entries(directory) == "")
      let longest = "\(directory)/\(String(repeating: "n", count: 255))"
      try StateFile.write([1], to: longest)
      #expect(try StateFile.read(longest) == [1])
    }
  }

  @Test func unfinishedFilesAreSkippedAndSwept() throws {
    try withTemporaryDirectory { directory in
      let prefix = StateFile.temporaryPrefix
      try shell(
        "cd \(directory); echo >a; echo >\(prefix)new; echo >\(prefix)old; touch -d '1 hour ago' \(prefix)old a; mkdir \(prefix)d; touch -d '1 hour ago' \(prefix)d"
      )
      #expect(StateFile.isTemporary("\(prefix)x") && !StateFile.isTemporary("a"))
      #expect(try StateFile.names(in: directory) == ["a"])
      try StateFile.removeStaleTemporaries(in: directory)
      #expect(try entries(directory) == "\(prefix)d\n\(prefix)new\na\n")
      #expect(
        failure { () throws(FileError) in try StateFile.names(in: "\(directory)/a") }?.errno == .notDirectory)
    }
  }

  @Test func whatAKilledWriterLeftGoesWithTheFile() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/state"
      let second = "\(directory)/\(StateFile.temporaryPrefix)state"
      // Killed while it put another one in the place of the file.
      for isGone in [true, false] {
        try StateFile.write([1], to: path)
        try shell("echo left >'\(second)'")
        if isGone {
          try StateFile.remove(path)
        } else {
          try StateFile.write([2], to: path)
          #expect(try StateFile.read(path) == [2])
        }
        #expect(try entries(directory) == (isGone ? "" : "state\n"))
      }
      // Before the file itself: whoever is killed in between is followed by one who finds that.
      try shell("echo left >'\(second)'; rm '\(path)'")
      #expect(try StateFile.remove(path) == false)
      #expect(try entries(directory) == "")
    }
  }

  @Test func namelessFiles() throws {
    try withTemporaryDirectory { directory in
      guard let file = try NamelessFile([1, 2], in: directory, mode: 0o640) else { return }
      #expect(try entries(directory) == "")
      #expect(file.giveName("\(directory)/a") == nil)
      #expect(file.giveName("\(directory)/a") == .fileExists)
      #expect(try StateFile.read("\(directory)/a") == [1, 2])
      #expect(try shell("stat -c %a \(directory)/a") == "640\n")
      #expect(throws: Errno.noSuchFileOrDirectory) {
        _ = try NamelessFile([], in: "\(directory)/none", mode: 0o600)
      }
    }
  }

  @Test func makesDirectories() throws {
    try withTemporaryDirectory { directory in
      try StateFile.createDirectories("\(directory)/a/b/c", mode: 0o700)
      try StateFile.createDirectories("\(directory)/a//b/./d//")
      #expect(
        try shell("cd \(directory); stat -c '%a %n' a a/b a/b/c a/b/d")
          == "700 a\n700 a/b\n700 a/b/c\n755 a/b/d\n")
      try StateFile.createDirectories(directory)
      try StateFile.createDirectories("/")
      try StateFile.createDirectories(".")
      try shell("cd \(directory); ln -s a link; echo >file; ln -s nowhere dangling")
      try StateFile.createDirectories("\(directory)/link/e")
      #expect(try shell("ls -d \(directory)/a/e") == "\(directory)/a/e\n")
      for (path, errno) in [
        ("file", Errno.notDirectory), ("file/x", .notDirectory), ("dangling", .notDirectory),
      ] {
        let error = failure { () throws(FileError) in try StateFile.createDirectories("\(directory)/\(path)")
        }
        #expect(error == FileError(path: "\(directory)/\(path)", operation: "create", errno: errno))
      }
      #expect(failure { () throws(FileError) in try StateFile.createDirectories("") }?.isNotFound == true)
      _ = try concurrently(8) { _ in
        for round in 0..<20 { try StateFile.createDirectories("\(directory)/r\(round)/s/t/u") }
      }
    }
  }
}
