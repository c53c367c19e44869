import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking

/// The directory with the daemon's leases, a file for each attachment. One daemon has it to itself.
final class LeaseFiles: @unchecked Sendable {
  // Read-only after `init`: the loop's thread and the one for slow work share it.
  private let directory: String
  private let lock: FileLock

  /// Makes the directory if it is not there.
  /// - Throws: `CNIError` if it cannot be made or another daemon has it.
  init(directory: String) throws(CNIError) {
    self.directory = directory
    do throws(FileError) {
      try StateFile.createDirectories(directory, mode: 0o700)
      // One that is being stopped gets the time for it.
      lock = try FileLock(path: directory + "/lock", wait: .atMost(.seconds(3)))
      try StateFile.removeStaleTemporaries(in: directory, olderThan: .zero)
    } catch {
      guard error.errno == .timedOut else { throw CNIError(describing: error) }
      throw CNIError(
        .internalError, "another dhcp daemon keeps its leases in \(directory)",
        details: "stop it first, or give this one a directory of its own (-statedir) and a socket of its own")
    }
  }

  func path(_ name: String) -> String { "\(directory)/\(name)" }

  /// The files that could be leases.
  func names() -> [String] {
    ((try? StateFile.names(in: directory)) ?? []).filter { $0.hasSuffix(LeaseFile.suffix) }.sorted()
  }

  func read(_ name: String) throws(CNIError) -> [UInt8] {
    do throws(FileError) { return try StateFile.read(path(name)) } catch { throw CNIError(describing: error) }
  }

  /// Writes a file; the failure, if there is one.
  func write(_ bytes: [UInt8], _ name: String) -> FileError? {
    do throws(FileError) {
      try StateFile.write(bytes, to: path(name))
      return nil
    } catch { return error }
  }

  /// Brings a file and its name to the disk, if it is still there.
  func sync(_ name: String) {
    for (path, flags) in [(path(name), O_RDONLY), (directory, O_RDONLY | O_DIRECTORY)] {
      let descriptor = open(path, flags | O_CLOEXEC)
      guard descriptor >= 0 else { return }
      fsync(descriptor)
      close(descriptor)
    }
  }

  func remove(_ name: String) { _ = try? StateFile.remove(path(name)) }

  /// Why no file can be written; `nil` if one could.
  func problem() -> FileError? {
    defer { remove("probe") }
    return write(Array("this file can be written".utf8), "probe")
  }
}
