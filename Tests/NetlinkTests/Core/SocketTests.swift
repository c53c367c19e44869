import Glibc
import LinuxNetworking
import Netlink
import SystemPackage
import TestSupport
import Testing

@Suite(.requiresRoot) struct SocketTests {
  /// `RTM_GETLINK` by index.
  private func getLink(_ index: Int32) -> NetlinkRequest {
    NetlinkRequest(type: 18, flags: [], operation: .init("look up link", index: index)) {
      $0.append(UInt32(0))
      $0.append(index)
      $0.append(UInt64(0))
    }
  }

  /// `RTM_SETLINK` of an MTU.
  private func setMTU(_ mtu: UInt32, _ index: Int32) -> NetlinkRequest {
    NetlinkRequest(type: 19, flags: .acknowledge, operation: .init("set MTU of link", index: index)) {
      $0.append(UInt32(0))
      $0.append(index)
      $0.append(UInt64(0))
      $0.attribute(4, mtu)
    }
  }

  @Test func batchesAnswerEachRequest() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      let replies = try socket.perform([getLink(1), setMTU(1400, 1), getLink(1)])
      #expect(replies.map(\.count) == [1, 0, 1])
      #expect(replies[2][0].attributes(after: 16)[4]?.integer(as: UInt32.self) == 1400)
      #expect(replies[2][0].attributes(after: 16)[3]?.string == "lo")
    }
  }

  /// The namespace's sockets of nf_tables, without the kernel's own: protocol 12, and a port.
  private func netfilterSockets() throws -> Int {
    let lines = String(decoding: try StateFile.read("/proc/thread-self/net/netlink"), as: UTF8.self).split(
      separator: "\n")
    return lines.filter {
      let words = $0.split(separator: " ")
      return words.count > 2 && words[1] == "12" && words[2] != "0"
    }.count
  }

  @Test func aSocketOfNFTablesIsClosedByTheKernelInTheEnd() throws {
    try inNewNetworkNamespace {
      let table = Table(.inet, "short_lived")
      for _ in 0..<20 {
        var socket = try NetfilterSocket()
        var transaction = NFTransaction()
        transaction.add(table)
        try socket.commit(transaction)
        transaction = NFTransaction()
        transaction.delete(table)
        try socket.commit(transaction)
      }
      // Not one of them is a descriptor of this process any more, and the kernel's thread ends them.
      for _ in 0..<1000 where try netfilterSockets() > 0 { usleep(10_000) }
      #expect(try netfilterSockets() == 0)
    }
  }

  @Test func theFailingMemberOfABatchIsNamed() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      let error = #expect(throws: NetlinkError.self) {
        _ = try socket.perform([setMTU(1300, 1), setMTU(1300, 4711), getLink(4712), setMTU(1200, 1)])
      }
      #expect(error?.requestIndex == 1)
      #expect(error?.isNotFound == true)
      #expect(error?.description.hasPrefix("cannot set MTU of link 4711: No such device (ENODEV)") == true)
      // Those behind it were carried out, and the socket is as good as new.
      let link = try socket.perform(getLink(1))[0]
      #expect(link.attributes(after: 16)[4]?.integer(as: UInt32.self) == 1200)
    }
  }

  @Test func theKernelsWordsAreInTheError() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      // A route whose gateway nobody can reach.
      let route = NetlinkRequest(
        type: 24, flags: [.acknowledge, .create], operation: .init("add route", "192.0.2.0/24")
      ) {
        $0.append(bytes: [2, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0])
        $0.attribute(1, bytes: [192, 0, 2, 0])
        $0.attribute(5, bytes: [198, 51, 100, 1])
      }
      let error = #expect(throws: NetlinkError.self) { _ = try socket.perform(route) }
      #expect(
        error?.description
          == "cannot add route \"192.0.2.0/24\": Network is unreachable (ENETUNREACH): Nexthop has invalid gateway"
      )
    }
  }

  @Test func theRefusedAttributeIsPointedAt() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      // IFLA_MTU with two bytes instead of four.
      let request = NetlinkRequest(type: 19, flags: .acknowledge, operation: "set link") {
        $0.append(bytes: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        $0.attribute(4, UInt16(1))
      }
      let error = #expect(throws: NetlinkError.self) { _ = try socket.perform(request) }
      #expect(error?.attributeOffset == 32)
      #expect(error?.attributeType == 4)
      #expect(error?.requestIndex == nil)
    }
  }

  @Test func aBatchMayBeLargerThanTheKernelsBuffers() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      var requests: [NetlinkRequest] = []
      for index in 0..<6000 { requests.append(setMTU(1000 + UInt32(index % 400), 1)) }
      requests.append(getLink(1))
      let replies = try socket.perform(requests)
      #expect(replies.last?.count == 1)
      let many = try socket.perform((0..<500).map { _ in getLink(1) })
      #expect(many.allSatisfy { $0.count == 1 })
    }
  }

  @Test func dumpsGiveTheWholeTable() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      let links = try socket.dump(
        NetlinkRequest(
          type: 18, flags: [], body: [UInt8](repeating: 0, count: 16), operation: "list links"))
      #expect(links.contains { $0.attributes(after: 16)[3]?.string == "lo" })
    }
  }

  @Test func aRefusedDumpIsAnError() throws {
    try inNewNetworkNamespace {
      var socket = try NetlinkSocket(.route)
      // Strict checking: a header that is too short is refused.
      let error = #expect(throws: NetlinkError.self) {
        _ = try socket.dump(
          NetlinkRequest(type: 18, flags: [], body: [0, 0, 0, 0], operation: "list links"))
      }
      #expect(error?.message != nil)
      #expect(error?.errno == .invalidArgument)
    }
  }

  @Test func anEmptyBatchIsNothing() throws {
    var socket = try NetlinkSocket(.route)
    #expect(try socket.perform([]).isEmpty)
  }

  @Test func errorsReadAsOneLine() {
    var error = NetlinkError(
      errno: .permissionDenied, message: "because", operation: "create link \"br0\" (bridge)")
    error.attributeOffset = 32
    error.attributeType = 4
    error.missingAttribute = 1
    #expect(
      error.description
        == "cannot create link \"br0\" (bridge): Permission denied (EACCES): because (attribute of type 4 at byte 32 "
        + "of the request) (attribute of type 1 missing)")
  }
}
