import CNI
import Testing

@testable import CNIPluginKit

@Suite("Marks of ownership")
struct OwnerTests {
  @Test("A mark reads back as what it was written from")
  func roundTrip() throws {
    let owner = Owner(network: "net", containerID: "c1", interfaceName: "eth0")
    #expect(owner.description == "cni:net/c1/eth0")
    #expect(Owner(owner.description) == owner)
    #expect(Owner(Owner(network: "net").description)?.attachment == nil)
  }

  @Test(
    "What others write is no mark",
    arguments: ["", "net/c1/eth0", "cni:", "cni:net/c1", "cni:a/b/c/d", "uplink"])
  func foreign(text: String) {
    #expect(Owner(text) == nil)
  }

  @Test("A long mark is shortened to what fits, and stays different from its like")
  func shortened() {
    let long = String(repeating: "c", count: 200)
    let one = Owner(network: "net", containerID: long + "1", interfaceName: "eth0")
    let other = Owner(network: "net", containerID: long + "2", interfaceName: "eth0")
    #expect(one.mark(limit: 127).utf8.count == 127)
    #expect(one.mark(limit: 127) != other.mark(limit: 127))
    #expect(one.owns(one.mark(limit: 127), limit: 127))
    #expect(!other.owns(one.mark(limit: 127), limit: 127))
  }

  @Test("A stale mark is one of the network whose attachment is not valid, also a shortened one")
  func stale() {
    let long = String(repeating: "c", count: 200)
    let valid: Set = [
      CNI.Attachment(containerID: "kept", interfaceName: "eth0"),
      CNI.Attachment(containerID: long, interfaceName: "eth0"),
    ]
    let stale = StaleMarks(network: "net", valid: valid)
    #expect(stale.contains("cni:net/gone/eth0"))
    #expect(!stale.contains("cni:net/kept/eth0"))
    #expect(stale.contains("cni:net/kept/eth1"))
    #expect(!stale.contains("cni:other/gone/eth0"))
    #expect(!stale.contains("cni:net"))
    #expect(!stale.contains("cni:network/gone/eth0"))
    #expect(!stale.contains(Owner(network: "net", containerID: long, interfaceName: "eth0").mark(limit: 127)))
    #expect(
      stale.contains(Owner(network: "net", containerID: long + "x", interfaceName: "eth0").mark(limit: 127)))
  }

  @Test("The host's name of a link fits, follows from the owner, and differs by attempt")
  func linkName() {
    let owner = Owner(network: "net", containerID: "c1", interfaceName: "eth0")
    let names = (0..<50).map { owner.linkName(attempt: $0) }
    #expect(Set(names).count == 50)
    #expect(names.allSatisfy { $0.hasPrefix("veth") && $0.utf8.count == 12 })
    #expect(owner.linkName() == names[0])
    let others = (0..<5000).map {
      Owner(network: "net", containerID: "c\($0)", interfaceName: "eth0").linkName()
    }
    #expect(Set(others).count == 5000)
  }
}

@Suite("SHA-512")
struct SHA512Tests {
  @Test(
    "FIPS 180-4 examples",
    arguments: [
      ("", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"),
      ("abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"),
      (
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
      ),
    ])
  func vectors(text: String, beginning: String) {
    #expect(SHA512.hexadecimal(text, length: 64) == beginning)
  }

  @Test("Lengths around the size of a block are padded right")
  func blocks() {
    // A message of 111 bytes needs one block, one of 112 two: the digests are sha512sum's.
    #expect(SHA512.hexadecimal(String(repeating: "a", count: 111), length: 16) == "fa9121c7b32b9e01")
    #expect(SHA512.hexadecimal(String(repeating: "a", count: 112), length: 16) == "c01d080efd492776")
    #expect(SHA512.hexadecimal(String(repeating: "a", count: 128), length: 16) == "b73d1929aa615934")
  }
}

@Suite("Undo")
struct UndoLogTests {
  private struct Failure: Error {}

  @Test("Steps are undone in reverse order, and one that fails does not stop the others")
  func order() {
    var log = UndoLog()
    var undone: [String] = []
    log.register("the first") { undone.append("first") }
    log.register("the second") { throw CNIError(.ioFailure, "the disk is gone") }
    log.register("the third") { undone.append("third") }
    let error = log.rollBack(after: CNIError(.tryAgainLater, "no"))
    #expect(undone == ["third", "first"])
    #expect(error.code == .tryAgainLater && error.message == "no")
    #expect(error.details == "could not undo the second: the disk is gone")
    #expect(log.rollBack(after: Failure()).details.isEmpty, "nothing is undone twice")
  }
}
