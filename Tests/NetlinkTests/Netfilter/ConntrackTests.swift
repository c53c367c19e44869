import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// A line of `conntrack`, and the message that belongs to it: see `Golden/conntrack/capture-conntrack.sh`.
private func fixture(_ name: String) throws -> [(line: String, message: ReceivedMessage)] {
  let folder = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined() + "/Golden/conntrack"
  let lines = try shell("cat '\(folder)/\(name).txt'").split(separator: "\n")
  return try stride(from: 0, to: lines.count - 1, by: 2).map { index in
    let digits = lines[index + 1].compactMap(\.hexDigitValue)
    let bytes = stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
    return (String(lines[index].dropFirst(2)), try ReceivedMessage.parse(bytes)[0])
  }
}

@Suite struct ConntrackCodecTests {
  @Test("Entries read like the lines of conntrack -L")
  func entries() throws {
    for (line, message) in try fixture("entries") {
      let entry = try #require(ConntrackEntry(message))
      // Without the protocol's number behind its name, and without the count of who uses the entry.
      var words = line.replacing("icmpv6", with: "ipv6-icmp").split(separator: " ")
      words.remove(at: 1)
      #expect(entry.description == words.dropLast().joined(separator: " "))
      #expect(entry.id != nil)
      #expect(entry.status.contains(.destinationNAT) == line.contains("dport=5353"))
      // What is written is what was read.
      var builder = MessageBuilder()
      entry.original.encode(into: &builder)
      #expect(ConntrackTuple(Attributes(builder.bytes[...])) == entry.original)
      #expect(builder.bytes == Array(message.netfilterAttributes[1]!.value))
    }
  }

  @Test("An entry is deleted by the name that conntrack -D gives it")
  func deletion() throws {
    for (line, message) in try fixture("delete") {
      let entry = try #require(
        fixture("entries").compactMap { ConntrackEntry($0.message) }.first {
          line.contains("\($0.original)") && line.contains("\($0.reply)")
        })
      var builder = MessageBuilder()
      builder.message(type: ConntrackMessage.delete, flags: [.request, .acknowledge]) {
        entry.encodeReference(into: &$0)
      }
      let own = try ReceivedMessage.parse(builder.bytes)[0]
      #expect(own.type == message.type && own.flags == message.flags)
      #expect(own.netfilterFamily == message.netfilterFamily)
      #expect(own.netfilterAttributes[1]?.value == message.netfilterAttributes[1]?.value)
      // conntrack says more, none of which finds an entry; the kernel's number says which of two that follow each other.
      #expect(own.netfilterAttributes.map(\.type) == [1, 12])
    }
  }

  /// `enum ctattr_filter` and `CTA_FILTER_F_*`, from linux/netfilter/nfnetlink_conntrack.h and the kernel's
  /// nf_conntrack_netlink.c.
  @Test("A filter is half a tuple with the flags of what counts of it")
  func filter() throws {
    let address = try #require(IPAddress("10.0.0.2"))
    func bytes(_ filter: ConntrackFilter) -> String {
      var builder = MessageBuilder()
      filter.encode(into: &builder)
      return builder.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    #expect(
      bytes(ConntrackFilter(.ipv4, .udp, original: .init(destinationPort: 5353)))
        // nfgenmsg; CTA_TUPLE_ORIG { CTA_TUPLE_PROTO { NUM 17, DST_PORT 5353 } }; CTA_FILTER { ORIG_FLAGS 0x28 }
        == "02010000" + "18000180" + "14000280" + "0500010011000000" + "0600030014e90000" + "0c001980"
        + "0800010028000000")
    #expect(
      bytes(ConntrackFilter(.ipv4, reply: .init(source: address)))
        // CTA_TUPLE_REPLY { CTA_TUPLE_IP { V4_SRC } }; CTA_FILTER { REPLY_FLAGS 0x01 }
        == "02010000" + "10000280" + "0c000180" + "080001000a000002" + "0c001980" + "0800020001000000")
    #expect(
      bytes(ConntrackFilter(.ipv6, status: .destinationNAT)) == "0a010000" + "0800030000000020"
        + "08001a0000000020")
    #expect(!ConntrackFilter(.ipv6, status: .destinationNAT).namesTuple)
  }

  @Test("A filter means what it says")
  func matching() throws {
    let entry = try #require(
      ConntrackEntry(fixture("entries").first { $0.line.contains("dport=5353") }!.message))
    let one = try #require(IPAddress("10.0.0.1"))
    let two = try #require(IPAddress("10.0.0.2"))
    let meant: [ConntrackFilter] = [
      .init(.ipv4), .init(.ipv4, .udp), .init(.ipv4, original: .init(destination: two)),
      .init(.ipv4, .udp, original: .init(source: one, sourcePort: 45353, destinationPort: 5353)),
      .init(.ipv4, .udp, reply: .init(source: two, sourcePort: 53)), .init(.ipv4, status: .destinationNAT),
    ]
    for filter in meant { #expect(filter.matches(entry), "\(filter)") }
    let others: [ConntrackFilter] = [
      .init(.ipv6), .init(.ipv4, .tcp), .init(.ipv4, original: .init(destination: one)),
      .init(.ipv4, .udp, original: .init(destinationPort: 53)), .init(.ipv4, reply: .init(source: one)),
      .init(.ipv4, status: [.destinationNAT, .seenReply]),
    ]
    for filter in others { #expect(!filter.matches(entry), "\(filter)") }
  }

  @Test("No bytes make it trap")
  func hostileBytes() throws {
    for (_, message) in try fixture("entries") {
      let whole = [UInt8](repeating: 0, count: 16) + Array(message.payload)
      for length in 16...whole.count {
        var bytes = Array(whole.prefix(length))
        withUnsafeBytes(of: UInt32(length)) { bytes.replaceSubrange(0..<4, with: $0) }
        withUnsafeBytes(of: message.type) { bytes.replaceSubrange(4..<6, with: $0) }
        _ = try ConntrackEntry(ReceivedMessage.parse(bytes)[0])
        for index in stride(from: 20, to: length, by: 3) {
          var changed = bytes
          changed[index] = 0xff
          _ = try ConntrackEntry(ReceivedMessage.parse(changed)[0])
        }
      }
    }
  }
}

@Suite(.requiresRoot, .requiresProgram("nft"), .requiresProgram("python3"))
struct ConntrackLiveTests {
  /// Runs `body` where flows of UDP have been sent from 10.0.0.1 and fd00::1 to the ports 53 and 54 of 10.0.0.2 and
  /// fd00::2, twice each.
  private func withFlows(_ body: () throws -> Void) throws {
    try inNewNetworkNamespace {
      try shell(
        """
        ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
        ip addr add 10.0.0.1/24 dev v0; ip addr add fd00::1/64 dev v0 nodad
        nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new'
        ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev v0; ip neigh add fd00::2 lladdr 02:00:00:00:00:02 dev v0
        python3 -c '
        import socket
        for family, target in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
            for source in (40001, 40002):
                for port in (53, 54):
                    s = socket.socket(family, socket.SOCK_DGRAM)
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("", source + port)); s.sendto(b"x", (target, port))'
        """)
      try body()
    }
  }

  private func ports(_ socket: inout ConntrackSocket, _ family: AddressFamily) throws -> [UInt16] {
    try socket.entries(matching: ConntrackFilter(family, .udp)).compactMap(\.original.destinationPort)
      .sorted()
  }

  @Test("Entries are listed by family, protocol, address and port", arguments: [AddressFamily.ipv4, .ipv6])
  func listing(family: AddressFamily) throws {
    try withFlows {
      var socket = try ConntrackSocket()
      let target = try #require(IPAddress(family == .ipv4 ? "10.0.0.2" : "fd00::2"))
      #expect(try ports(&socket, family) == [53, 53, 54, 54])
      let some = try socket.entries(
        matching: ConntrackFilter(family, .udp, original: .init(destination: target, destinationPort: 53)))
      #expect(some.count == 2 && some.allSatisfy { $0.original.destinationPort == 53 && $0.timeout > 0 })
      #expect(try socket.entries(matching: ConntrackFilter(family, reply: .init(source: target))).count == 4)
      #expect(try socket.entries(matching: ConntrackFilter(family, .tcp)).isEmpty)
    }
  }

  @Test("Deleted are those that are meant, and no other", arguments: [AddressFamily.ipv4, .ipv6])
  func deletion(family: AddressFamily) throws {
    try withFlows {
      var socket = try ConntrackSocket()
      let other: AddressFamily = family == .ipv4 ? .ipv6 : .ipv4
      try socket.deleteAll(matching: [
        ConntrackFilter(family, .udp, original: .init(destinationPort: 53)),
        ConntrackFilter(family, .udp, original: .init(destinationPort: 99)),
      ])
      #expect(try ports(&socket, family) == [54, 54])
      #expect(try ports(&socket, other) == [53, 53, 54, 54])
      let rest = try socket.entries(matching: ConntrackFilter(family, .udp))
      try socket.delete([rest[0]])
      // Gone already is no error.
      try socket.delete(rest)
      #expect(try ports(&socket, family).isEmpty)
      let source = try #require(IPAddress(other == .ipv4 ? "10.0.0.2" : "fd00::2"))
      // Two of which the kernel may be told the same; and one that means nobody.
      try socket.deleteAll(matching: [
        ConntrackFilter(other, .udp, original: .init(source: source)),
        ConntrackFilter(other, .udp, reply: .init(source: source, sourcePort: 1)),
      ])
      #expect(try ports(&socket, other) == [53, 53, 54, 54])
      try socket.deleteAll(matching: [
        ConntrackFilter(other, .udp, original: .init(source: source)),
        ConntrackFilter(other, .udp, reply: .init(source: source)),
      ])
      #expect(try socket.entries().filter { $0.original.transport == .udp }.isEmpty)
    }
  }

  @Test("Without a tuple in the filter only what is meant goes, too")
  func byStatus() throws {
    try withFlows {
      var socket = try ConntrackSocket()
      try socket.deleteAll(matching: [ConntrackFilter(.ipv4, status: .seenReply)])
      #expect(try ports(&socket, .ipv4) == [53, 53, 54, 54])
      try socket.deleteAll(matching: [ConntrackFilter(.ipv4)])
      #expect(try ports(&socket, .ipv4).isEmpty)
      #expect(try ports(&socket, .ipv6) == [53, 53, 54, 54])
    }
  }
}
