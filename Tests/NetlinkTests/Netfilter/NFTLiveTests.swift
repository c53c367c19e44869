import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// What we commit on the running kernel, and what nft makes of it.
@Suite(.requiresRoot, .requiresProgram("nft")) struct NFTLiveTests {
  private let layout = MasqueradeLayout()
  private let subnet = IPPrefix("10.22.0.0/16")!
  private let chainName = "net-10.22.0.0-16"

  private func address(_ index: Int) -> IPAddress {
    .v4(IPv4Address(rawValue: 0x0a16_0000 + UInt32(index)))
  }

  @Test func masqueradeIsListedAsMeant() throws {
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      let ladder = layout.ladder(address(5), subnet: subnet, chain: chainName, owner: "net/one/eth0")
      #expect(try socket.commit(firstPossible: ladder) == 2)
      let sixth = try #require(IPPrefix("fd00:22::/64"))
      let third = layout.ladder(sixth.first, subnet: sixth, chain: "net-six", owner: "net/two/eth0")
      #expect(try socket.commit(firstPossible: third) == 1)

      let list = try shell("nft -j list ruleset >/dev/null && nft list ruleset")
      #expect(
        list == """
          table inet cni_masquerade {
          \tmap sources4 {
          \t\ttype ipv4_addr : verdict
          \t\telements = { 10.22.0.5 comment "net/one/eth0" : goto net-10.22.0.0-16 }
          \t}

          \tmap sources6 {
          \t\ttype ipv6_addr : verdict
          \t\telements = { fd00:22:: comment "net/two/eth0" : goto net-six }
          \t}

          \tchain postrouting {
          \t\ttype nat hook postrouting priority srcnat; policy accept;
          \t\tip saddr vmap @sources4
          \t\tip6 saddr vmap @sources6
          \t}

          \tchain net-10.22.0.0-16 {
          \t\tip daddr 10.22.0.0/16 return
          \t\tip daddr 224.0.0.0/4 return
          \t\tmasquerade
          \t}

          \tchain net-six {
          \t\tip6 daddr fd00:22::/64 return
          \t\tip6 daddr ff00::/8 return
          \t\tmasquerade
          \t}
          }

          """)

      // And read back by us.
      let second = layout.ladder(address(6), subnet: subnet, chain: chainName, owner: "net/two/eth0")
      #expect(try socket.commit(firstPossible: second) == 0)
      #expect(try socket.tables().map(\.reference) == ["inet cni_masquerade"])
      #expect(try socket.chains(in: layout.table).map(\.name) == ["postrouting", chainName, "net-six"])
      let chain = try socket.chain("postrouting", in: layout.table)
      #expect(chain.base == layout.postrouting.base)
      #expect(
        try socket.rules(in: chain).map(\.description)
          == ["ip saddr vmap @sources4", "ip6 saddr vmap @sources6"])
      var listed = try socket.set("sources4", in: layout.table)
      listed.handle = nil
      #expect(listed == layout.sources4)
      #expect(try socket.sets(in: layout.table).map(\.name) == ["sources4", "sources6"])
      #expect(
        Set(try socket.elements(of: listed).map(\.description)) == [
          "10.22.0.5 comment \"net/one/eth0\" : goto net-10.22.0.0-16",
          "10.22.0.6 comment \"net/two/eth0\" : goto net-10.22.0.0-16",
        ])
      let element = try socket.element([NFTValue(address(6))], of: listed)
      #expect(element == Element(NFTValue(address(6)), verdict: .goto(chainName), comment: "net/two/eth0"))
      #expect(try socket.element([NFTValue(address(7))], of: listed) == nil)
    }
  }

  @Test func anAddressInUseIsFoundAndCanBeReplaced() throws {
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      try socket.commit(
        firstPossible: layout.ladder(address(5), subnet: subnet, chain: chainName, owner: "net/one/eth0"))
      // The kernel allows the same element again; `create` does not.
      var error = try #require(
        throws: NetlinkError.self,
        performing: {
          try socket.commit(
            firstPossible: layout.ladder(address(5), subnet: subnet, chain: chainName, owner: "net/two/eth0"))
        })
      #expect(error.isExists)
      #expect(
        error.description.hasPrefix(
          "cannot create element { 10.22.0.5 comment \"net/two/eth0\" : goto net-10.22.0.0-16 } to map inet cni_masquerade sources4: File exists (EEXIST)"
        ))
      var replacement = NFTransaction()
      replacement.delete(Element(NFTValue(address(5))), from: layout.sources4)
      try socket.commit(replacement + layout.source(address(5), chain: chainName, owner: "net/two/eth0"))
      #expect(
        try socket.element([NFTValue(address(5))], of: layout.sources4)?.comment == "net/two/eth0")

      error = try #require(
        throws: NetlinkError.self,
        performing: {
          var transaction = NFTransaction()
          transaction.delete(Element(NFTValue(address(9))), from: layout.sources4)
          try socket.commit(transaction)
        })
      #expect(error.isNotFound)
      #expect(
        error.description.hasPrefix(
          "cannot delete element { 10.22.0.9 } of map inet cni_masquerade sources4: No such file or directory (ENOENT)"
        ))
    }
  }

  @Test func nothingIsTakenAwayThatIsInUse() throws {
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      for index in 5...6 {
        try socket.commit(
          firstPossible: layout.ladder(
            address(index), subnet: subnet, chain: chainName, owner: "n/\(index)/e"))
      }
      let other = try #require(IPPrefix("10.23.0.0/16"))
      try socket.commit(
        firstPossible: layout.ladder(other.first, subnet: other, chain: "net-other", owner: "n/7/e"))

      func remove(_ element: IPAddress) throws {
        var transaction = NFTransaction()
        transaction.delete(Element(NFTValue(element)), from: layout.sources4)
        try socket.commit(transaction)
      }
      func busy(_ transaction: NFTransaction) throws {
        let error = try #require(
          throws: NetlinkError.self, performing: { try socket.commit(transaction) })
        #expect(error.errno.rawValue == EBUSY)
      }
      try remove(address(5))
      // One element still leads to the chain.
      try busy(layout.dismantle(chain: chainName))
      try remove(address(6))
      // The chain could go, but not the rest.
      try busy(layout.dismantle(chain: chainName))
      var transaction = NFTransaction()
      transaction.delete(Chain(layout.table, chainName))
      try socket.commit(transaction)
      #expect(try socket.chains(in: layout.table).map(\.name) == ["postrouting", "net-other"])
      try remove(other.first)
      try socket.commit(layout.dismantle(chain: "net-other"))
      #expect(try shell("nft list ruleset") == "")
    }
  }

  @Test func fiftyAtOnceMakeOneLayout() throws {
    try inNewNetworkNamespace {
      let failures = concurrently(50) { index in
        var socket = try NetfilterSocket()
        try socket.commit(
          firstPossible: layout.ladder(
            address(index + 2), subnet: subnet, chain: chainName, owner: "net/c\(index)/eth0"))
      }
      #expect(failures == [])
      var socket = try NetfilterSocket()
      #expect(try socket.rules(in: layout.postrouting).count == 2)
      #expect(try socket.rules(in: Chain(layout.table, chainName)).count == 3)
      #expect(try socket.elements(of: layout.sources4).count == 50)

      // And away again, each trying to be the last.
      let removals = concurrently(50) { index in
        var socket = try NetfilterSocket()
        var transaction = NFTransaction()
        transaction.delete(Element(NFTValue(address(index + 2))), from: layout.sources4)
        try socket.commit(transaction)
        do {
          try socket.commit(layout.dismantle(chain: chainName))
        } catch let error as NetlinkError {
          guard error.errno.rawValue == EBUSY || error.isNotFound else { throw error }
        }
      }
      #expect(removals == [])
      #expect(try shell("nft list ruleset") == "")
    }
  }

  @Test func aPreparedCommitSeesEveryOther() throws {
    try inNewNetworkNamespace {
      let chain = Chain(layout.table, "counted")
      var socket = try NetfilterSocket()
      try socket.commit(NFTransaction([.init(.add, .table(layout.table)), .init(.add, .chain(chain))]))
      let failures = concurrently(20) { index in
        var socket = try NetfilterSocket()
        try socket.commitPrepared { socket throws(NetlinkError) in
          let count = try socket.rules(in: chain).count
          var transaction = NFTransaction()
          transaction.add(Rule(in: chain, [.accept], comment: "\(count)"))
          return transaction
        }
      }
      #expect(failures == [])
      #expect(try socket.rules(in: chain).map(\.comment) == (0..<20).map { "\($0)" })

      let generation = try socket.generation()
      _ = try shell("nft add table ip another")
      let error = try #require(
        throws: NetlinkError.self,
        performing: {
          try socket.commit(NFTransaction([.init(.flush, .chain(chain))], generation: generation))
        })
      #expect(error.errno.rawValue == ERESTART)
      #expect(try socket.rules(in: chain).count == 20)
    }
  }

  @Test func manyElementsInOneTransaction() throws {
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      try socket.commit(layout.everything(for: subnet, chain: chainName))
      var transaction = NFTransaction()
      for index in 0..<10_000 {
        transaction.create(
          Element(NFTValue(address(index)), verdict: .goto(chainName), comment: "net/container\(index)/eth0"),
          in: layout.sources4)
      }
      try socket.commit(transaction)
      #expect(try socket.elements(of: layout.sources4).count == 10_000)
      let error = try #require(
        throws: NetlinkError.self, performing: { try socket.commit(transaction) })
      #expect(error.isExists && error.requestIndex == 0)
      // The socket is still good: nothing of the ten thousand errors is left in it.
      #expect(
        try socket.element([NFTValue(address(77))], of: layout.sources4)?.comment == "net/container77/eth0")
      try socket.commit(NFTransaction([.init(.flush, .set(layout.sources4))]))
      #expect(try socket.elements(of: layout.sources4).isEmpty)
    }
  }

  @Test func anErrorNamesTheCommand() throws {
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      let chain = Chain(layout.table, "c")
      func failure(_ commands: NFTCommand...) -> String {
        do {
          try socket.commit(NFTransaction(commands))
          return ""
        } catch { return error.description }
      }
      #expect(
        failure(.init(.add, .chain(chain)))
          == "cannot add chain inet cni_masquerade c: No such file or directory (ENOENT)"
          || failure(.init(.add, .chain(chain))).hasPrefix(
            "cannot add chain inet cni_masquerade c: No such file or directory (ENOENT) (attribute")
      )
      #expect(
        failure(
          .init(.add, .table(layout.table)), .init(.add, .chain(chain)),
          .init(.add, .rule(Rule(in: chain, [.goto("missing")])))
        ).hasPrefix(
          "cannot add rule { goto missing } to chain inet cni_masquerade c: No such file or directory"))
      // Nothing of it has happened.
      #expect(try socket.tables().isEmpty)
      #expect(throws: NetlinkError.self) { try socket.table(.inet, "cni_masquerade") }
      #expect(throws: NetlinkError.self) { try socket.chain("c", in: layout.table) }
      #expect(try socket.rules(in: chain).isEmpty)
    }
  }
}

/// Runs `body` on that many threads at once, in the namespace of the calling thread; the errors as text.
func concurrently(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) -> [String] {
  final class Work: @unchecked Sendable {
    let index: Int
    let body: @Sendable (Int) throws -> Void
    var failure: String?
    init(_ index: Int, _ body: @escaping @Sendable (Int) throws -> Void) {
      self.index = index
      self.body = body
    }
  }
  let work = (0..<count).map { Work($0, body) }
  let threads = work.map { item in
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { argument in
        let item = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
        do { try item.body(item.index) } catch { item.failure = "\(error)" }
        return nil
      }, Unmanaged.passRetained(item).toOpaque())
    return thread
  }
  for thread in threads { pthread_join(thread, nil) }
  return work.compactMap(\.failure)
}
