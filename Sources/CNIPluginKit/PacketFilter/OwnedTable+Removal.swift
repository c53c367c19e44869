import CNI
import Netlink

extension OwnedTable {
  /// What a removal took away.
  public struct Removal: Sendable {
    /// The owners' elements, without those of the index.
    public var entries: [Entry] = []
    /// If the table went with them: the elements of its base that had no owner.
    public var extra: [Entry] = []

    /// Nothing yet.
    public init() {}
  }

  /// Removes an owner's elements with these keys; what is not there, or is somebody else's, is left alone.
  ///
  /// In a table with an index it is also known whether that was all. If not, the keys in the ``Spare`` are asked for, and if
  /// that was not all either, as after a change of the configuration, the rest is looked for.
  @discardableResult
  public func remove(
    _ keys: [(key: [NFTValue], set: NFTSet)], spare: Spare? = nil, of owner: Owner,
    from socket: inout NetfilterSocket
  ) throws -> Removal {
    let mark = owner.mark(limit: Owner.commentLimit)
    let asked = keys + (index.map { [(key: indexKey(owner), set: $0)] } ?? [])
    let further = keys.compactMap { key in spare?.set(key.set).map { (key: key.key, set: $0) } }
    func own(
      _ keys: [(key: [NFTValue], set: NFTSet)], _ view: NFTView
    ) -> [Entry] {
      zip(keys, view.elements).compactMap { key, element in
        element?.comment == mark ? element.map { Entry($0, in: key.set) } : nil
      }
    }
    return try remove(from: &socket) { socket in
      var view = try socket.look(at: table, elements: asked)
      var found = own(asked, view)
      // The last of them is the index's.
      func isAll() -> Bool {
        guard let last = found.last, last.set.name == index?.name else { return true }
        return last.element.data == .value([.mark(UInt32(found.count - 1))])
      }
      if !isAll(), !further.isEmpty {
        view = try socket.look(at: table, elements: further + asked)
        found = own(further + asked, view)
      }
      if !isAll() { found = try elements(&socket, where: { $0 == mark }) }
      return Found(entries: found, view: view)
    }
  }

  /// Removes all elements of an owner whose keys are not known. Without an index, all elements are looked at.
  @discardableResult
  public func removeAll(of owner: Owner, from socket: inout NetfilterSocket) throws -> Removal {
    if index != nil { return try remove([], of: owner, from: &socket) }
    let mark = owner.mark(limit: Owner.commentLimit)
    return try removeAll(from: &socket) { $0 == mark }
  }

  /// Removes the elements of all owners whose mark is meant. With an index, the other elements are looked at only if
  /// there is such an owner.
  @discardableResult
  public func removeAll(
    from socket: inout NetfilterSocket, where isMeant: (_ mark: String) -> Bool
  ) throws -> Removal {
    if let index {
      let owners = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.elements(of: index) }
      guard owners?.contains(where: { $0.comment.map(isMeant) == true }) == true else { return Removal() }
    }
    return try remove(from: &socket) { socket in
      let view = try socket.look(at: table)
      return Found(entries: try elements(&socket, where: isMeant), view: view)
    }
  }

  /// The elements of all sets whose mark is meant, the index's included. All elements are looked at.
  public func elements(
    _ socket: inout NetfilterSocket, where isMeant: (_ mark: String) -> Bool
  ) throws(NetlinkError) -> [Entry] {
    var entries: [Entry] = []
    let sets = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.sets(in: table) }
    for set in sets ?? [] {
      let elements = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.elements(of: set) }
      for element in elements ?? [] where element.comment.map(isMeant) == true {
        entries.append(Entry(element, in: set))
      }
    }
    return entries
  }

  // MARK: Steps

  /// What is to be removed, and the state it was found in.
  private struct Found {
    var entries: [Entry]
    var view: NFTView
  }

  private func remove(
    from socket: inout NetfilterSocket, _ find: (inout NetfilterSocket) throws -> Found
  ) throws -> Removal {
    for attempt in 0..<Self.attempts {
      Self.pause(attempt)
      let found = try find(&socket)
      if found.entries.isEmpty { return Removal() }
      var removal = Removal()
      removal.entries = found.entries.filter { $0.set.name != index?.name }
      var transaction = NFTransaction()
      if attempt < Self.strictAttempts {
        transaction.generation = found.view.generation
        removal.extra = try removeWhatIsLast(found, &socket, &transaction)
      }
      if transaction.isEmpty { delete(found.entries, besides: [], &transaction) }
      if try socket.commit(transaction, unless: { Self.isOutdated($0) && attempt < Self.attempts - 1 }) {
        return removal
      }
    }
    return Removal()
  }

  private func delete(_ entries: [Entry], besides gone: Set<String>, _ transaction: inout NFTransaction) {
    var order: [NFTSet] = []
    var elements: [String: [Element]] = [:]
    for entry in entries where !gone.contains(entry.set.name) {
      if elements[entry.set.name] == nil { order.append(entry.set) }
      elements[entry.set.name, default: []].append(Element(key: entry.element.key))
    }
    for set in order { transaction.delete(inParts: elements[set.name]!, from: set) }
  }

  /// Where the entries are the last ones of their layouts, these go with them; the table, if nothing else is in it.
  ///
  /// Sound only in a transaction that takes effect if nothing has changed since.
  ///
  /// - Returns: The elements without owner that go with the table.
  private func removeWhatIsLast(
    _ found: Found, _ socket: inout NetfilterSocket, _ transaction: inout NFTransaction
  ) throws(NetlinkError) -> [Entry] {
    var keys: [String: Set<[NFTValue]>] = [:]
    for entry in found.entries { keys[entry.set.name, default: []].insert(entry.element.key) }
    // The index knows of all owners.
    if let index, !isShared, try holdsOnly(keys, [index], &socket) {
      return try removeTable(&socket, &transaction)
    }

    var layouts: [Layout] = []
    var seen: Set<String> = []
    for name in keys.keys where !seen.contains(name) {
      guard let layout = layout(name), !layout.staysWithTable else { continue }
      seen.formUnion(layout.sets.map(\.name))
      if try holdsOnly(keys, layout.sets, &socket) { layouts.append(layout) }
    }
    if layouts.isEmpty { return [] }
    if index == nil, !isShared {
      let going = layouts.reduce(base.sets.count + base.chains.count) { $0 + $1.sets.count + $1.chains.count }
      // Somebody may have removed a part of it.
      if let count = found.view.table?.useCount, Int(count) <= going {
        return try removeTable(&socket, &transaction)
      }
    }
    let gone = Set(layouts.flatMap { $0.sets.map(\.name) })
    delete(found.entries, besides: gone, &transaction)
    for layout in layouts {
      for chain in layout.chains.reversed() { transaction.delete(chain) }
      for set in layout.sets { transaction.delete(set) }
    }
    return []
  }

  private func removeTable(
    _ socket: inout NetfilterSocket, _ transaction: inout NFTransaction
  ) throws(NetlinkError) -> [Entry] {
    transaction.delete(table)
    var extra: [Entry] = []
    for set in base.sets where set.name != index?.name {
      let elements = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.elements(of: set) }
      extra += (elements ?? []).filter { $0.comment == nil }.map { Entry($0, in: set) }
    }
    return extra
  }

  /// Whether the sets hold no other elements than these. Where there are many others, the first of them tell.
  private func holdsOnly(
    _ keys: [String: Set<[NFTValue]>], _ sets: [NFTSet], _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> Bool {
    // Where these are, others are more likely than elsewhere.
    for set in sets.filter({ keys[$0.name] != nil }) + sets.filter({ keys[$0.name] == nil }) {
      let own = keys[set.name] ?? []
      let first = try PacketFilter.absentAsNil { () throws(NetlinkError) in
        try NetfilterSocket().firstElements(of: set)
      }
      guard let first else { continue }
      if first.elements.contains(where: { !own.contains($0.key) }) { return false }
      if !first.isWhole, try socket.elements(of: set).contains(where: { !own.contains($0.key) }) {
        return false
      }
    }
    return true
  }
}
