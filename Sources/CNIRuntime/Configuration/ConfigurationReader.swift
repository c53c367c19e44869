import CNI
import Glibc
import LinuxNetworking

/// Reads the files of a configuration directory, none while somebody is writing it, and knows afterwards what it has read.
final class ConfigurationReader {
  /// How long somebody who reads once waits for a file that is being written.
  static let usualPatience = Duration.milliseconds(200)

  /// How long to wait for a file that is being written.
  private let patience: Duration
  /// What was parsed, by path: files that have not changed are read again, for that is what tells, but not parsed again.
  private var parsed: [String: (bytes: [UInt8], json: JSONValue)] = [:]
  /// What each path that was looked at led to: nil for nothing.
  private var seen: [String: FileStamp?] = [:]
  /// The directories that were listed.
  private var listed: Set<String> = []
  /// Whether a file was being written.
  private(set) var hasUnsettled = false

  init(patience: Duration) {
    self.patience = patience
  }

  /// Forgets what was seen, for another look at everything.
  func begin() {
    seen = [:]
    listed = []
    hasUnsettled = false
  }

  /// Whether everything that was looked at is still what it was: otherwise what was read is no picture of any one moment.
  var isConsistent: Bool { seen.allSatisfy { path, stamp in FileStamp(path: path) == stamp } }

  /// What to watch to learn of anything that would make it read something else.
  var targets: [PathWatch.Target] {
    listed.map { .directory($0) }
      + seen.keys.filter { path in
        var status = stat()
        return !listed.contains(path) && lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
      }.map { .file($0) }
  }

  /// Forgets the content of files that are gone.
  func end() {
    parsed = parsed.filter { path, _ in seen[path] != nil }
  }

  /// The names in a directory, sorted; empty if it is not there.
  func names(in directory: String) throws(FileError) -> [String] {
    seen[directory] = .some(FileStamp(path: directory))
    listed.insert(directory)
    return try StateFile.names(in: directory).sorted()
  }

  /// A file as JSON; `nil` if it is gone, or no file.
  func json(_ path: String) throws(UnusableConfiguration) -> JSONValue? {
    func unusable(
      _ reason: String, _ remedy: String = "", _ position: SourcePosition? = nil,
      kind: UnusableConfiguration.Kind = .broken
    ) -> UnusableConfiguration {
      UnusableConfiguration(
        problem: ConfigurationProblem(file: path, position: position, reason: reason, remedy: remedy),
        kind: kind)
    }
    let settled: [UInt8]?
    do throws(FileError) { settled = try read(path) } catch {
      seen[path] = .some(FileStamp(path: path))
      if error.errno == .isDirectory { return nil }
      if error.isNotFound {
        // Gone since the directory was listed, or a link that leads nowhere.
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return nil }
        throw unusable("it is a symbolic link to a file that is not there", kind: .absent)
      }
      throw unusable("\(error)")
    }
    guard let bytes = settled else {
      hasUnsettled = true
      throw unusable("somebody is writing it", "wait until that is done", kind: .beingWritten)
    }
    if bytes.isEmpty { throw unusable("it is empty", "it may be about to be written; otherwise remove it") }
    if let known = parsed[path], known.bytes == bytes { return known.json }
    do throws(JSONError) {
      let json = try JSONValue.parse(bytes)
      parsed[path] = (bytes, json)
      return json
    } catch {
      throw unusable("it is not valid JSON: \(error.reason)", "", error.position)
    }
  }

  /// The bytes; `nil` while somebody is writing them.
  private func read(_ path: String) throws(FileError) -> [UInt8]? {
    var waited = Duration.zero
    while true {
      if case .content(let bytes, let stamp) = try StateFile.readSettled(path, limit: 16 << 20) {
        seen[path] = .some(stamp)
        return bytes
      }
      guard waited < patience else {
        seen[path] = .some(FileStamp(path: path))
        return nil
      }
      usleep(5000)
      waited += .milliseconds(5)
    }
  }
}
