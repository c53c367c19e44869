/// The attachment that a lease belongs to, in the form in which the lease file names it.
struct LeaseOwner: Hashable, Sendable {
  let containerID: String
  /// Empty in the leases of old versions of the Go plugin, which did not write it.
  let interfaceName: String

  init(containerID: String, interfaceName: String) {
    self.containerID = containerID
    self.interfaceName = interfaceName
  }

  /// The owner of the same container's leases from before interface names were written.
  var withoutInterface: LeaseOwner { LeaseOwner(containerID: containerID, interfaceName: "") }

  /// What a lease file holds: the container ID, CR LF, the interface name, and no line end after it.
  var leaseContent: [UInt8] {
    interfaceName.isEmpty ? Array(containerID.utf8) : containerID.utf8 + [0x0d, 0x0a] + interfaceName.utf8
  }

  /// The owner that a lease file names, white space around it ignored; `nil` if the file is empty, as it can be after
  /// a power cut.
  init?(leaseContent: [UInt8]) {
    var content = leaseContent[...]
    while let byte = content.first, isSpace(byte) { content.removeFirst() }
    while let byte = content.last, isSpace(byte) { content.removeLast() }
    if content.isEmpty { return nil }
    if let end = content.indices.first(where: { content[$0...].starts(with: [0x0d, 0x0a]) }) {
      containerID = String(decoding: content[..<end], as: UTF8.self)
      interfaceName = String(decoding: content[(end + 2)...], as: UTF8.self)
    } else {
      containerID = String(decoding: content, as: UTF8.self)
      interfaceName = ""
    }
  }
}

extension LeaseOwner: CustomStringConvertible {
  var description: String {
    interfaceName.isEmpty
      ? "container \(containerID)" : "container \(containerID), interface \(interfaceName)"
  }
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
