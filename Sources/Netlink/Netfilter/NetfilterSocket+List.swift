import Glibc

extension NetfilterSocket {
  /// All tables of a family, or of all.
  public mutating func tables(family: NetfilterFamily? = nil) throws(NetlinkError) -> [Table] {
    let messages = try dump(1, family, "list tables") { _ in }
    return messages.compactMap(Table.init)
  }

  /// One table.
  ///
  /// - Throws: `ENOENT` (`isNotFound`) if it is not there.
  public mutating func table(_ family: NetfilterFamily, _ name: String) throws(NetlinkError) -> Table {
    let table = Table(family, name)
    let messages = try get(1, family, NetlinkOperation("get table \(table.reference)")) {
      table.encodeReference(into: &$0)
    }
    return messages.lazy.compactMap(Table.init).first ?? table
  }

  /// All chains of a table, or of all tables of a family, or of all.
  public mutating func chains(
    in table: Table? = nil, family: NetfilterFamily? = nil
  ) throws(NetlinkError) -> [Chain] {
    // Older kernels list the chains of all tables whatever is asked for.
    let messages = try dump(4, table?.family ?? family, "list chains") {
      if let table { $0.attribute(1, string: table.name) }
    }
    return messages.compactMap(Chain.init).filter { table == nil || $0.table.name == table?.name }
  }

  /// One chain.
  ///
  /// - Throws: `ENOENT` (`isNotFound`) if it or its table is not there.
  public mutating func chain(_ name: String, in table: Table) throws(NetlinkError) -> Chain {
    let chain = Chain(table, name)
    let messages = try get(4, table.family, NetlinkOperation("get chain \(chain.reference)")) {
      chain.encodeReference(into: &$0)
    }
    return messages.lazy.compactMap(Chain.init).first ?? chain
  }

  /// One chain; nil if it or its table is not there.
  public mutating func chainIfPresent(
    _ name: String, in table: Table
  ) throws(NetlinkError) -> Chain? {
    do { return try chain(name, in: table) } catch  where error.isNotFound { return nil }
  }

  /// The first rules of a chain, as many as the kernel puts into one datagram, and whether that is all of them. The
  /// socket ends with this.
  public consuming func firstRules(
    in chain: Chain
  ) throws(NetlinkError) -> (rules: [Rule], isWhole: Bool) {
    let operation = NetlinkOperation("list rules of chain \(chain.reference)")
    let request = NetlinkRequest(type: NFTMessage.subsystem | 7, flags: .request, operation: operation) {
      $0.netfilterHeader(chain.table.family.rawValue)
      $0.attribute(1, string: chain.table.name)
      $0.attribute(2, string: chain.name)
    }
    let beginning = try socket.beginningOfDump(request)
    let rules = beginning.messages.compactMap(Rule.init).filter {
      $0.chain.name == chain.name && $0.chain.table.name == chain.table.name
    }
    return (rules, beginning.isWhole)
  }

  /// The rules of a chain, in order. None if the chain is not there: the kernel does not tell.
  public mutating func rules(in chain: Chain) throws(NetlinkError) -> [Rule] {
    let operation = NetlinkOperation("list rules of chain \(chain.reference)")
    let messages = try dump(7, chain.table.family, operation) {
      $0.attribute(1, string: chain.table.name)
      $0.attribute(2, string: chain.name)
    }
    return messages.compactMap(Rule.init).filter {
      $0.chain.name == chain.name && $0.chain.table.name == chain.table.name
    }
  }

  /// The rules of all chains of a table. None if the table is not there.
  public mutating func rules(in table: Table) throws(NetlinkError) -> [Rule] {
    let operation = NetlinkOperation("list rules of table \(table.reference)")
    let messages = try dump(7, table.family, operation) { $0.attribute(1, string: table.name) }
    return messages.compactMap(Rule.init).filter { $0.chain.table.name == table.name }
  }

  /// The sets and maps of a table, without those that nft makes for the braces in a rule.
  public mutating func sets(in table: Table) throws(NetlinkError) -> [NFTSet] {
    let operation = NetlinkOperation("list sets of table \(table.reference)")
    let messages = try dump(10, table.family, operation) { $0.attribute(1, string: table.name) }
    return messages.compactMap(NFTSet.init).filter {
      $0.table.name == table.name && !$0.flags.contains(.init(rawValue: 1))
    }
  }

  /// One set or map.
  ///
  /// - Throws: `ENOENT` (`isNotFound`) if it or its table is not there.
  public mutating func set(_ name: String, in table: Table) throws(NetlinkError) -> NFTSet {
    let set = NFTSet(table, name, key: [])
    let messages = try get(10, table.family, NetlinkOperation("get set \(set.reference)")) {
      set.encodeReference(into: &$0)
    }
    return messages.lazy.compactMap(NFTSet.init).first ?? set
  }

  /// The elements of one set or map, which must be given with its `key`, `data` and `flags` as it was made or listed.
  ///
  /// - Throws: `ENOENT` (`isNotFound`) if the set or its table is not there.
  public mutating func elements(of set: NFTSet) throws(NetlinkError) -> [Element] {
    let operation = NetlinkOperation("list elements of \(set.kind) \(set.reference)")
    let messages = try dump(13, set.table.family, operation) { set.encodeReference(into: &$0) }
    return Self.elements(messages, set)
  }

  /// Whether a set has no element: its first elements tell, however many there are. The socket ends with this.
  ///
  /// - Throws: `ENOENT` (`isNotFound`) if the set or its table is not there.
  public consuming func isEmpty(_ set: NFTSet) throws(NetlinkError) -> Bool {
    try firstElements(of: set).elements.isEmpty
  }

  /// The element with that key, found by the kernel: it costs the same however many there are. Nil if the set
  /// has none; of intervals, the one that holds the key.
  ///
  /// - Throws: `ENOENT` does not tell a missing set from a missing element, so nil stands for both.
  public mutating func element(_ key: [NFTValue], of set: NFTSet) throws(NetlinkError) -> Element? {
    let element = Element(key: key)
    let operation = NetlinkOperation("get element of \(set.kind) \(set.reference)", "\(key.keyText)")
    do {
      let messages = try get(13, set.table.family, operation) {
        set.encodeReference(into: &$0)
        $0.nested(3) {
          var index: UInt16 = 0
          // Of an interval, its beginning is asked for.
          element.encode(
            into: &$0, set: set.flags.contains(.interval) && set.key.count == 1 ? set.plain : set,
            index: &index, keyOnly: true)
        }
      }
      return Self.elements(messages, set).first
    } catch {
      guard error.errno.rawValue == ENOENT else { throw error }
      return nil
    }
  }

  /// The elements in the messages; the two entries of an interval are joined.
  static func elements(_ messages: [ReceivedMessage], _ set: NFTSet) -> [Element] {
    var found: [(element: Element, key: [UInt8], isEnd: Bool)] = []
    for message in messages {
      guard let list = message.netfilterAttributes[3]?.nested else { continue }
      for entry in list {
        guard let element = Element(entry.nested, set: set) else { continue }
        let flags: UInt32 = entry.nested[3]?.bigEndian() ?? 0
        found.append((element, element.key.keyBytes, flags & 1 != 0))
      }
    }
    guard set.flags.contains(.interval), set.key.count == 1 else { return found.map(\.element) }
    // An end comes before a beginning at the same place.
    found.sort { $0.key != $1.key ? $0.key.lexicographicallyPrecedes($1.key) : $0.isEnd && !$1.isEnd }
    var result: [Element] = []
    for (index, entry) in found.enumerated() where !entry.isEnd {
      var element = entry.element
      var last = [UInt8](repeating: 0xff, count: entry.key.count)
      if index + 1 < found.count, found[index + 1].isEnd, let before = found[index + 1].key.predecessor {
        last = before
      } else if found.count == 1 {
        last = entry.key
      }
      if last != entry.key { element.end = [NFTValue](set.key, last[...]) }
      result.append(element)
    }
    return result
  }

  private mutating func get(
    _ type: UInt16, _ family: NetfilterFamily, _ operation: NetlinkOperation,
    _ body: (inout MessageBuilder) -> Void
  ) throws(NetlinkError) -> [ReceivedMessage] {
    try socket.perform(
      NetlinkRequest(type: NFTMessage.subsystem | type, flags: .request, operation: operation) {
        $0.netfilterHeader(family.rawValue)
        body(&$0)
      })
  }

  private mutating func dump(
    _ type: UInt16, _ family: NetfilterFamily?, _ operation: NetlinkOperation,
    _ body: (inout MessageBuilder) -> Void
  ) throws(NetlinkError) -> [ReceivedMessage] {
    try socket.dump(
      NetlinkRequest(type: NFTMessage.subsystem | type, flags: .request, operation: operation) {
        $0.netfilterHeader(family?.rawValue ?? 0)
        body(&$0)
      })
  }
}

extension NFTSet {
  /// The same without intervals.
  fileprivate var plain: NFTSet {
    var set = self
    set.flags.remove(.interval)
    return set
  }
}
