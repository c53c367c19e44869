import Glibc

/// Says which leases an attachment has, so that nobody has to read all leases to find them.
///
/// The lease directory is shared with the Go plugin, which knows nothing of this index and walks through everything
/// below `<dataDir>/<network>`. So the index is beside it: `<dataDir>/.owners/<network>` (a network's name cannot begin
/// with a dot). It has a symbolic link per owner, whose text lists the names of the owner's lease files. A link,
/// because it is made with its content in one call, is read in one, and can never be found empty or half written.
///
/// The index is trusted only while lease directory and index directory have the same modification time to the
/// nanosecond, and one that has been set, which is to be seen by the time of the last change of status: two directories
/// that are changed within the same tick of the kernel's clock have equal times as well. Whoever changes leases through ``LeaseStore`` sets both to the same time as the last step. Any file made
/// or removed by others (the Go plugin, an administrator, a crash between two steps, a restored backup) leaves the
/// lease directory with a time of its own: the index is then made anew from the leases. File systems that keep whole
/// seconds only do not tell two changes apart: there the index is never trusted.
struct OwnerIndex: Sendable {
  let path: String

  init(dataDirectory: String, network: String) { path = "\(dataDirectory)/.owners/\(network)" }

  /// The names of the owner's lease files; none if the owner has no entry.
  /// - Returns: `nil` if the entry cannot be read or is not one of ours.
  func leases(of owner: LeaseOwner) -> [String]? { link(named: entryName(owner)) }

  func setLeases(_ names: [String], of owner: LeaseOwner) -> Bool {
    let entry = "\(path)/\(entryName(owner))"
    // Not joined(separator:), whose first call looks through the conformances of the whole program.
    var text = names.first ?? ""
    for name in names.dropFirst() { text += "," + name }
    if symlink(text, entry) == 0 { return true }
    return errno == EEXIST && unlink(entry) == 0 && symlink(text, entry) == 0
  }

  func remove(_ owner: LeaseOwner) -> Bool { unlink("\(path)/\(entryName(owner))") == 0 || errno == ENOENT }

  /// Makes the index say what `leases` says. Entries that are right stay as they are, because writing is what costs.
  func replaceAll(with leases: [LeaseOwner: [String]]) -> Bool {
    guard createDirectory(), let present = entries() else { return false }
    var missing = Dictionary(leases.map { (entryName($0.key), $0) }, uniquingKeysWith: { first, _ in first })
    for entry in present {
      if let wanted = missing[entry], link(named: entry).map(Set.init) == Set(wanted.value) {
        missing[entry] = nil
      } else if missing[entry] == nil, unlink("\(path)/\(entry)") != 0 {
        return false
      }
    }
    return missing.values.allSatisfy { setLeases($0.value, of: $0.key) }
  }

  /// When the directory was changed last; `nil` if there is none.
  var modificationTime: DirectoryTime? {
    var status = stat()
    return stat(path, &status) == 0 ? DirectoryTime(status) : nil
  }

  func setModificationTime(_ time: timespec) -> Bool {
    var times = (time, time)
    return withUnsafePointer(to: &times) {
      $0.withMemoryRebound(to: timespec.self, capacity: 2) { utimensat(AT_FDCWD, path, $0, 0) == 0 }
    }
  }

  private func createDirectory() -> Bool {
    if mkdir(path, 0o755) == 0 || errno == EEXIST { return true }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/") else { return false }
    mkdir(String(path[..<slash]), 0o755)
    return mkdir(path, 0o755) == 0 || errno == EEXIST
  }

  private func entries() -> [String]? {
    guard let directory = opendir(path) else { return nil }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = entry.name
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  private func link(named entry: String) -> [String]? {
    withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer in
      let length = readlink(
        "\(path)/\(entry)", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
      guard length >= 0 else { return errno == ENOENT ? [] : nil }
      return buffer[..<length].split(separator: UInt8(ascii: ",")).map { String(decoding: $0, as: UTF8.self) }
    }
  }

  /// `containerID,interface`. What cannot be a file name (too long, or not the ID of a container and found in a lease
  /// that others wrote) gets a name from its hash; it begins with a comma, as no container ID does.
  private func entryName(_ owner: LeaseOwner) -> String {
    let name = "\(owner.containerID),\(owner.interfaceName)"
    let isPlain = name.utf8.count <= 255 && name.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "/") }
    if isPlain, name.utf8.first != UInt8(ascii: ",") { return name }
    // FNV-1a with 128 bits. A collision would hide one owner's leases until the next GC; it gives them to nobody,
    // because the lease file is read before it is removed.
    var hash: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
    for byte in name.utf8 { hash = (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013b }
    return "," + String(hash, radix: 16)
  }
}

extension UnsafeMutablePointer<dirent> {
  /// The entry's name.
  var name: String {
    withUnsafePointer(to: &pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
  }
}
