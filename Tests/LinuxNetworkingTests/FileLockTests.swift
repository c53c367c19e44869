import Glibc
import LinuxNetworking
import SystemPackage
import TestSupport
import Testing

@Suite("File locks")
struct FileLockTests {
  private func failure(locking path: String, wait: FileLock.Patience) -> Errno? {
    do throws(FileError) {
      _ = try FileLock(path: path, wait: wait)
      return nil
    } catch {
      #expect(error.operation == "lock")
      return error.errno
    }
  }

  /// Another program that holds the lock, as the Go plugin would.
  private func holder(of path: String) throws -> ChildProcess {
    let holder = try ChildProcess(["sh", "-ec", "exec 9>>\(path); flock 9; echo locked; exec sleep 100"])
    try holder.waitForOutput("locked")
    return holder
  }

  @Test func keepsOtherProcessesOut() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/lock"
      let lock = try FileLock(path: path)
      #expect(lock.path == path)
      #expect(try runCommand("flock", "-n", path, "true").exitStatus == 1)
      #expect(failure(locking: path, wait: .never) == .wouldBlock)
      lock.unlock()
      #expect(try runCommand("flock", "-n", path, "true").exitStatus == 0)
      #expect(failure(locking: path, wait: .never) == nil)
    }
  }

  @Test func isKeptOutByOtherProcesses() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/lock"
      let other = try holder(of: path)
      #expect(failure(locking: path, wait: .never) == .wouldBlock)
      let clock = ContinuousClock()
      let waited = clock.measure {
        #expect(failure(locking: path, wait: .atMost(.milliseconds(150))) == .timedOut)
      }
      #expect(waited >= .milliseconds(150) && waited < .seconds(10))
      #expect(failure(locking: path, wait: .atMost(.zero)) == .timedOut)
      // The lock ends with its holder, however that ends.
      let locked = try concurrently(3) { thread in
        switch thread {
        case 0: return failure(locking: path, wait: .forever) == nil
        case 1: return failure(locking: path, wait: .atMost(.seconds(30))) == nil
        default:
          usleep(50_000)
          other.send(signal: SIGKILL)
          return try other.wait().exitStatus == -SIGKILL
        }
      }
      #expect(locked == [true, true, true])
    }
  }

  @Test func keepsOtherThreadsOut() throws {
    try withTemporaryDirectory { directory in
      let counter = "\(directory)/counter"
      try StateFile.write([0, 0], to: counter)
      _ = try concurrently(4) { thread in
        for _ in 0..<100 {
          let lock = try FileLock(
            path: "\(directory)/lock", wait: thread == 0 ? .atMost(.seconds(60)) : .forever)
          let bytes = try StateFile.read(counter)
          let value = Int(bytes[0]) << 8 + Int(bytes[1]) + 1
          try StateFile.write([UInt8(value >> 8), UInt8(value & 0xff)], to: counter)
          lock.unlock()
        }
      }
      #expect(try StateFile.read(counter) == [1, 144])  // 400
    }
  }

  @Test func aDirectoryMeansTheFileLockInIt() throws {
    try withTemporaryDirectory { directory in
      let lock = try FileLock(path: directory)
      #expect(lock.path == "\(directory)/lock")
      #expect(failure(locking: "\(directory)/lock", wait: .never) == .wouldBlock)
      #expect(try shell("stat -c %a \(directory)/lock") == "600\n")
    }
  }

  @Test func aRemovedFileIsMadeAgain() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/lock"
      let other = try holder(of: path)
      let results = try concurrently(2) { thread in
        guard thread == 1 else {
          let lock = try FileLock(path: path)
          // It keeps out whoever comes by the name.
          let kept = failure(locking: path, wait: .never) == .wouldBlock
          lock.unlock()
          return kept
        }
        usleep(100_000)
        unlink(path)
        other.send(signal: SIGKILL)
        return true
      }
      #expect(results == [true, true])
    }
  }

  @Test func signalsDoNotDisturb() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryDirectory { directory in
        let path = "\(directory)/lock"
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(SIGUSR1, &action, nil)
        nonisolated(unsafe) var lock: FileLock? = try FileLock(path: path)
        nonisolated(unsafe) var waiter: pthread_t?
        _ = try concurrently(2) { thread in
          if thread == 0 {
            waiter = pthread_self()
            _ = try FileLock(path: path)
          } else {
            while waiter == nil { usleep(1000) }
            for _ in 0..<20 {
              usleep(5000)
              pthread_kill(waiter!, SIGUSR1)
            }
            lock = nil
          }
        }
        _ = lock == nil
      }
    }
  }

  @Test func hostilePaths() throws {
    try withTemporaryDirectory { directory in
      #expect(failure(locking: "\(directory)/none/lock", wait: .never) == .noSuchFileOrDirectory)
      #expect(failure(locking: "\(directory)/a\0b", wait: .never) == .invalidArgument)
      try shell("mkdir -p \(directory)/d/lock")
      #expect(failure(locking: "\(directory)/d", wait: .never) == .isDirectory)
      // A FIFO can be locked like anything else, and opening it does not wait for a writer.
      try shell("mkfifo \(directory)/fifo")
      #expect(failure(locking: "\(directory)/fifo", wait: .never) == nil)
    }
  }
}
