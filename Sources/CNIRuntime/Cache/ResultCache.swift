import CLinux
import CNI
import LinuxNetworking
import SystemPackage

/// Something about the cache that is worth knowing and stops nobody.
public struct CacheProblem: Sendable, Hashable, CustomStringConvertible {
  /// The file.
  public var file: String
  /// What is wrong with it.
  public var reason: String
  /// Whether the file may be in order, and only could not be read: no memory, no permission, a failing disk.
  public var isUnread = false

  /// `/var/lib/cni/results/podnet-c1-eth0: it is empty (…)`
  public var description: String { "\(file): \(reason)" }
}

/// The results of ADD on disk, in the place and form of the Go library: `<directory>/results/<network>-<container>-<interface>`.
///
/// A file is renamed into place, so no reader sees half of one. After a power cut it may be old, empty or missing all the
/// same: reading explains that and goes on.
public struct ResultCache: Sendable, Hashable {
  /// The directory above `results`.
  public var directory: String

  /// The cache in a directory, which need not exist.
  public init(directory: String) {
    self.directory = directory
  }

  /// Where the entries are.
  public var resultsDirectory: String { "\(directory)/results" }

  /// What a file turned out to hold.
  public enum Content: Sendable {
    /// There is no such file.
    case absent
    /// An entry of today's kind.
    case entry(CacheEntry)
    /// The oldest kind: nothing but the result.
    case bareResult(JSONValue)
    /// The entry of another attachment: names may contain hyphens, and `a-b` with `c` shares its file with `a` and `b-c`.
    case foreign(CacheProblem)
    /// Something else, or nothing.
    case unusable(CacheProblem)
  }

  /// The file of an attachment. The names have to be valid: they become a path.
  public func file(network: String, _ attachment: Attachment) -> String {
    "\(resultsDirectory)/\(network)-\(attachment.containerID)-\(attachment.interfaceName)"
  }

  /// What is remembered of an attachment.
  public func read(network: String, _ attachment: Attachment) -> Content {
    let content = read(file(network: network, attachment))
    if case .entry(let entry) = content, entry.network != network || entry.attachment != attachment {
      return .foreign(
        CacheProblem(
          file: file(network: network, attachment),
          reason:
            "it belongs to network \"\(entry.network)\", container \"\(entry.attachment.containerID)\", "
            + "interface \"\(entry.attachment.interfaceName)\""))
    }
    return content
  }

  /// What a file of the cache holds.
  func read(_ file: String) -> Content {
    let bytes: [UInt8]
    do throws(FileError) {
      guard let present = try StateFile.readIfPresent(file, limit: 16 << 20) else { return .absent }
      bytes = present
    } catch {
      let isSomethingElse = [.isDirectory, .tooManySymbolicLinkLevels, .invalidArgument, .fileTooLarge]
        .contains(error.errno)
      return .unusable(CacheProblem(file: file, reason: "\(error)", isUnread: !isSomethingElse))
    }
    func unusable(_ reason: String) -> Content { .unusable(CacheProblem(file: file, reason: reason)) }
    if bytes.allSatisfy({ $0 == 0 }) {
      return unusable("it is empty (a power cut, or a full disk, while it was written)")
    }
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue.parse(bytes) } catch {
      return unusable("it is not JSON: \(error) (cut short, or not of this cache)")
    }
    if let entry = CacheEntry(json: json) { return .entry(entry) }
    guard case .object(let object) = json.kind else { return unusable("it is not a JSON object") }
    if let kind = object.member(matching: "kind")?.value { return unusable("its kind \(kind) is unknown") }
    return .bareResult(json)
  }

  /// Remembers an attachment; replaces what was remembered.
  public func write(_ entry: CacheEntry) throws(FileError) {
    let path = file(network: entry.network, entry.attachment)
    let bytes = entry.json.serialized()
    do throws(FileError) { try StateFile.write(bytes, to: path, mode: 0o600) } catch {
      guard error.isNotFound else { throw error }
      try StateFile.createDirectories(resultsDirectory, mode: 0o700)
      try StateFile.write(bytes, to: path, mode: 0o600)
    }
  }

  /// Forgets an attachment. Nothing to forget is no error.
  public func remove(network: String, _ attachment: Attachment) throws(FileError) {
    try StateFile.remove(file(network: network, attachment))
  }

  /// What a cache holds.
  public struct Listing: Sendable, Hashable {
    /// The attachments that are remembered, by file name.
    public var entries: [CacheEntry] = []
    /// What is wrong with files that are no entries, or cannot be read. What belongs to them may exist all the same.
    public var problems: [CacheProblem] = []
    /// The files of the oldest kind. They hold nothing but a result: only their names say to what they belong.
    public var bareResults: [String] = []
  }

  /// All that is remembered; of one container if one is given.
  ///
  /// - Throws: why the directory cannot be listed. Nothing is known then, which is not the same as that there is nothing: who
  ///   removes what nobody remembers must not go on. A directory that is not there is empty.
  public func list(containerID: String? = nil) throws(FileError) -> Listing {
    var names = try StateFile.names(in: resultsDirectory)
    if let containerID {
      // Bytes: there may be thousands of names, and this is done for each container.
      let wanted = Array("-\(containerID)-".utf8)
      names = names.filter { Self.contains($0, wanted) }
    }
    names.sort()
    var listing = Listing()
    for name in names {
      let file = "\(resultsDirectory)/\(name)"
      switch read(file) {
      case .absent, .foreign: break
      case .bareResult: listing.bareResults.append(file)
      case .unusable(let problem): listing.problems.append(problem)
      case .entry(let entry):
        if let containerID, entry.parameters.containerID != containerID { continue }
        if entry.network.isEmpty || entry.parameters.containerID.isEmpty
          || entry.parameters.interfaceName.isEmpty
        {
          listing.problems.append(CacheProblem(file: file, reason: "it does not say what it belongs to"))
        } else {
          listing.entries.append(entry)
        }
      }
    }
    return listing
  }

  /// The same for whom it does not matter what he misses: a directory that cannot be listed is but one of the problems. Bare
  /// results are left out.
  public func entries(containerID: String? = nil) -> (entries: [CacheEntry], problems: [CacheProblem]) {
    do throws(FileError) {
      let listing = try list(containerID: containerID)
      return (listing.entries, listing.problems)
    } catch {
      return ([], [CacheProblem(file: resultsDirectory, reason: "\(error)")])
    }
  }

  private static func contains(_ name: String, _ bytes: [UInt8]) -> Bool {
    var name = name
    return name.withUTF8 { clinux_memmem($0.baseAddress, $0.count, bytes, bytes.count) != nil }
  }
}
