import Testing

@testable import Netlink

/// Whatever the bytes, reading them does not trap.
@Suite struct NFTHostileBytesTests {
  private static let fixtures = [
    "table", "chain", "set", "map", "element", "interval", "masquerade", "spoof-guard", "rule-inet",
    "rule-port",
    "rule-nat", "rule-state", "rule-ether", "rule-portmap",
  ]

  /// splitmix64: the same run every time.
  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var value = state
      value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
      value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
      return value ^ (value >> 31)
    }
  }

  private func read(_ bytes: [UInt8]) {
    guard let messages = try? ReceivedMessage.parse(bytes) else { return }
    for message in messages {
      _ = message.netfilterDescription
      _ = Table(message)?.description
      _ = Chain(message)?.description
      _ = Rule(message)?.expressions
      _ = NFTSet(message)?.description
      for key in [[], [.ipv4Address], [.interfaceName, .etherAddress]] as [[NFTType]] {
        for flags in [[], .interval] as [NFTSet.Flags] {
          let set = NFTSet.map(Table(.inet, "t"), "s", key, to: .value(key), flags: flags)
          _ = NetfilterSocket.elements([message], set).map(\.description)
        }
      }
    }
  }

  @Test(arguments: fixtures) func damaged(fixture: String) throws {
    var generator = Generator(state: 42)
    for message in try NFTFixture(fixture).messages {
      read(message)
      for _ in 0..<200 {
        var damaged = message
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          let index = Int.random(in: 4..<damaged.count, using: &generator)
          damaged[index] =
            Bool.random(using: &generator)
            ? UInt8.random(in: 0...255, using: &generator)
            : [0, 1, 4, 0x80, 0xff].randomElement(using: &generator)!
        }
        read(damaged)
      }
      for length in stride(from: 16, to: message.count, by: 4) {
        var cut = Array(message.prefix(length))
        cut[0] = UInt8(length & 0xff)
        cut[1] = UInt8(length >> 8)
        read(cut)
      }
    }
  }

  @Test("A mask that is none of the address's is taken as it is", arguments: [0, 1, 8, 16, 20])
  func strangeMask(length: Int) throws {
    for ones in 0...length {
      let mask = [UInt8](repeating: 0xff, count: ones) + [UInt8](repeating: 0, count: length - ones)
      let expressions: [Expression] = [
        .payload(PayloadExpression(.network, offset: 12, length: 4)),
        .bitwise(BitwiseExpression(mask: mask, namesOperation: true)),
        .payload(PayloadExpression(.network, offset: 16, length: 4, into: Register(word: 1))),
        .lookup(LookupExpression("s")),
      ]
      let statements = RuleReader.statements(of: expressions, family: .ip)
      #expect(RuleCompiler.compile(statements, family: .ip) == expressions)
    }
  }

  @Test func everyFixtureIsReadAsWhatItIs() throws {
    let fixture = try NFTFixture("masquerade")
    let texts = try fixture.messages.map { try ReceivedMessage.parse($0)[0].netfilterDescription }
    #expect(texts[0] == "table inet cni_masquerade")
    #expect(
      texts[1]
        == "chain inet cni_masquerade postrouting { type nat hook postrouting priority srcnat; policy accept; }"
    )
    #expect(texts[2] == "map inet cni_masquerade sources4 { type ipv4_addr : verdict; }")
    #expect(texts[4] == "rule inet cni_masquerade postrouting ip saddr vmap @sources4")
    #expect(texts.allSatisfy { $0 != nil })
  }

  @Test func comments() {
    let long = String(repeating: "ä", count: 200)
    let bytes = UserData.bytes(comment: long)
    #expect(bytes.count <= 256 && bytes.last == 0)
    let value = UserData.value(0, in: bytes[...])
    #expect(
      value.map { String(decoding: $0.dropLast(), as: UTF8.self) } == String(repeating: "ä", count: 126))
    #expect(UserData.value(0, in: [0, 200, 1]) == nil)
  }

  @Test func priorities() {
    func text(_ priority: ChainPriority, _ family: NetfilterFamily, _ hook: NetfilterHook) -> String {
      priority.text(family: family, hook: hook)
    }
    #expect(text(-10, .inet, .input) == "filter - 10")
    #expect(text(-11, .inet, .input) == "-11")
    #expect(text(101, .ip, .postrouting) == "srcnat + 1")
    #expect(text(100, .ip, .prerouting) == "100")
    #expect(text(-300, .bridge, .prerouting) == "dstnat")
    #expect(text(-300, .ip, .prerouting) == "raw")
  }
}
