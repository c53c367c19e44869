import CNI
import Glibc
import Netlink
import SystemPackage

/// A table of ours that all attachments share: each has elements in its sets and maps, and each element carries its
/// owner's mark (``Owner``) as its comment.
///
/// What the elements need comes with the first of them and goes with the last: the chains and sets of a ``Layout``, and
/// in the end the table. An element more costs what the first did: what is there is asked for by name and key, and
/// changed in one transaction that names the state it was made for. So nothing has to be locked, and no transaction is
/// aborted, for which the kernel would wait for a grace period.
public struct OwnedTable: Sendable {
  /// Sets and maps, the chains that look something up in them, and the rules of these chains.
  public struct Layout: Sendable {
    /// The sets and maps.
    public var sets: [NFTSet]
    /// The chains, each behind those that it jumps to.
    public var chains: [Chain]
    /// What the chains hold when they are new.
    public var rules: [Rule]
    /// Whether it stays until the table goes, also without elements. In a table with an index that saves the question whether
    /// there are others.
    public var staysWithTable: Bool

    /// A layout; who only removes it can do without the rules.
    public init(sets: [NFTSet], chains: [Chain], rules: [Rule] = [], staysWithTable: Bool = false) {
      self.staysWithTable = staysWithTable
      self.sets = sets
      self.chains = chains
      self.rules = rules
    }
  }

  /// An element with the set that it is in.
  public struct Entry: Sendable {
    /// The set or map.
    public var set: NFTSet
    /// The element; its comment is the owner's mark.
    public var element: Element

    /// An element of a set.
    public init(_ element: Element, in set: NFTSet) {
      self.set = set
      self.element = element
    }
  }

  /// What becomes of a key that somebody else has.
  public enum Resolution: Sendable {
    /// It goes over to the new owner.
    case replace
    /// The old owner keeps it.
    case keep
    /// The old owner keeps it, and the new one waits in the ``Spare`` for it to go. Without one, as `keep`.
    case wait
  }

  /// Sets in which something is looked up that the sets proper do not have.
  public struct Spare: Sendable {
    /// The sets with their chains, which are asked later. It comes and goes with its elements.
    public var layout: Layout
    /// The set in which an element of that set waits; nil if it has none.
    public var set: @Sendable (NFTSet) -> NFTSet?

    /// Sets for those who wait.
    public init(_ layout: Layout, set: @escaping @Sendable (NFTSet) -> NFTSet?) {
      self.layout = layout
      self.set = set
    }
  }

  /// The table.
  public let table: Table
  /// What there is once, however many elements there are: made and removed with the table.
  let base: Layout
  /// A map of the `base` that says of each owner how many elements it has; nil where nobody needs to know.
  let index: NFTSet?
  /// Whether others than attachments may have put something into it: then who uses this decides when the table goes.
  let isShared: Bool
  /// The layout that a set belongs to, by its name; nil for the sets of the `base`.
  let layout: @Sendable (_ set: String) -> Layout?

  /// A table of ours.
  ///
  /// - Parameters:
  ///   - table: The table.
  ///   - index: The name of a map that tells at once which owners have something in the table, and how much. With
  ///     it, removing what an owner has needs no search where there is nothing.
  ///   - base: Further sets and chains that are there as long as the table is.
  ///   - isShared: Whether an administrator may have put something into it, so that it does not go with the last
  ///     element.
  ///   - layout: The layout that a set belongs to, found by the set's name, without rules; nil for sets of the base.
  public init(
    _ table: Table, index: String? = nil, base: Layout = Layout(sets: [], chains: []), isShared: Bool = false,
    layout: @escaping @Sendable (_ set: String) -> Layout?
  ) {
    let index = index.map { NFTSet.map(table, $0, [.interfaceName], to: .value([.mark])) }
    self.table = table
    self.index = index
    self.isShared = isShared
    self.base = Layout(sets: base.sets + (index.map { [$0] } ?? []), chains: base.chains, rules: base.rules)
    self.layout = layout
  }

  /// The layout that a set belongs to, by its name; nil for the sets of the base.
  public func layout(of set: String) -> Layout? { layout(set) }

  /// How often something is tried again that somebody else's change got in the way of.
  static let attempts = 60
  /// How many of these attempts insist on a state that nobody has changed.
  static let strictAttempts = 50

  /// The key of an owner in the index: a hash, as readable as 15 letters can be.
  func indexKey(_ owner: Owner) -> [NFTValue] {
    [.interface(String(FNV.hexadecimal(owner.description).prefix(15)))]
  }

  /// Somebody else has changed what a transaction was made for.
  static func isOutdated(_ error: NetlinkError) -> Bool {
    error.errno.rawValue == ERESTART || error.errno == .interrupted || error.isExists || error.isNotFound
  }

  /// Lets those who got in the way get on.
  static func pause(_ attempt: Int) {
    if attempt > 4 { Pause.milliseconds(UInt32(attempt / 4)) }
  }
}

// MARK: - Adding

extension OwnedTable {
  /// Adds an owner's elements, and whatever of the layouts they need. All of it takes effect at once.
  ///
  /// - Parameters:
  ///   - entries: The elements, each key once; their comments are set here.
  ///   - layouts: The layouts of their sets, with rules.
  ///   - extra: Elements of the base that have no owner.
  ///   - spare: Where elements wait whose key somebody else has.
  ///   - owner: Whose elements they are.
  ///   - socket: A socket in the namespace of the table.
  ///   - resolve: Decides about a key that is somebody else's, or throws.
  public func install(
    _ entries: [Entry], layouts: [Layout], extra: [Entry] = [], spare: Spare? = nil, owner: Owner,
    in socket: inout NetfilterSocket, ifTaken resolve: (Entry) throws -> Resolution
  ) throws {
    let mark = owner.mark(limit: Owner.commentLimit)
    let layouts = (index == nil && base.chains.isEmpty ? [] : [base]) + layouts
    let chains = layouts.flatMap(\.chains) + (spare?.layout.chains ?? [])
    let asked =
      entries.map { (key: $0.element.key, set: $0.set) }
      + (index.map { [(key: indexKey(owner), set: $0)] } ?? [])
    for attempt in 0..<Self.attempts {
      Self.pause(attempt)
      let view = try socket.look(at: table, chains: chains, elements: asked)
      guard let waiting = try waiting(entries, spare, view, &socket) else { continue }

      var placed: [Entry] = []
      var changes = ElementChanges()
      var spareIsNeeded = false
      for (number, (entry, existing)) in zip(entries, view.elements).enumerated() {
        var entry = entry
        entry.element.comment = mark
        var replaced = existing
        let other = waiting[number]
        if let existing, existing.comment != mark {
          switch try resolve(Entry(existing, in: entry.set)) {
          case .replace: break
          case .keep: continue
          case .wait:
            guard let set = spare?.set(entry.set) else { continue }
            // One can wait; a third goes away empty.
            if let other, other.element.comment != mark { continue }
            entry.set = set
            replaced = other?.element
            spareIsNeeded = true
          }
        } else if let other, other.element.comment != mark {
          // Who has waited has it, wherever it stands.
          guard try resolve(other) != .keep else { continue }
        }
        placed.append(entry)
        changes.put(entry, inPlaceOf: replaced)
      }
      if let index {
        let known = view.elements.last ?? nil
        if known?.comment == mark {
          // The owner has been here before, perhaps with other elements than these.
          for entry in try elements(&socket, where: { $0 == mark }) where entry.set.name != index.name {
            if !placed.contains(where: {
              $0.element.key == entry.element.key && $0.set.name == entry.set.name
            }) {
              changes.delete(entry)
            }
          }
        }
        let element = Element(
          key: indexKey(owner), data: .value([.mark(UInt32(placed.count))]), comment: mark)
        if !placed.isEmpty { changes.put(Entry(element, in: index), inPlaceOf: known) }
      }

      var transaction = NFTransaction()
      if attempt < Self.strictAttempts { transaction.generation = view.generation }
      let needed = spareIsNeeded ? [spare?.layout].compactMap { $0 } : []
      complete(layouts + needed, chains, view, &transaction)
      for entry in extra { transaction.add(entry.element, to: entry.set) }
      changes.append(to: &transaction)
      if transaction.isEmpty { return }
      if try socket.commit(transaction, unless: { Self.isOutdated($0) && attempt < Self.attempts - 1 }) {
        return
      }
    }
  }

  /// Who waits for the keys of the entries, in their order; nil if something has changed since the view.
  private func waiting(
    _ entries: [Entry], _ spare: Spare?, _ view: NFTView, _ socket: inout NetfilterSocket
  ) throws -> [Entry?]? {
    var found: [Entry?] = entries.map { _ in nil }
    // Nobody ever waits where the chains are not there.
    guard let spare, view.chains.suffix(spare.layout.chains.count).contains(where: { $0 != nil }) else {
      return found
    }
    let sets = entries.enumerated().compactMap { number, entry in
      spare.set(entry.set).map { (number: number, key: entry.element.key, set: $0) }
    }
    let further = try socket.look(at: table, elements: sets.map { (key: $0.key, set: $0.set) })
    if further.generation != view.generation { return nil }
    for (place, element) in zip(sets, further.elements) {
      found[place.number] = element.map { Entry($0, in: place.set) }
    }
    return found
  }

  /// Makes what is missing of the layouts. A chain that somebody has emptied gets its rules back.
  private func complete(
    _ layouts: [Layout], _ chains: [Chain], _ view: NFTView, _ transaction: inout NFTransaction
  ) {
    var present: [String: UInt32] = [:]
    for chain in view.chains { if let chain { present[chain.name] = chain.useCount ?? 1 } }
    if view.table == nil { transaction.add(table) }
    for layout in layouts {
      let missing = layout.chains.filter { present[$0.name] == nil }
      // Sets that no chain comes with may be missing also where the table is there.
      let mayLackSets = layout.chains.isEmpty && layout.sets.first?.name != base.sets.first?.name
      if mayLackSets || !missing.isEmpty || view.table == nil {
        for set in layout.sets { transaction.add(set) }
      }
      for chain in missing { transaction.create(chain) }
      for rule in layout.rules where present[rule.chain.name] ?? 0 == 0 { transaction.add(rule) }
    }
  }
}

/// Elements to be deleted and made, set by set.
private struct ElementChanges {
  private var sets: [NFTSet] = []
  private var old: [String: [Element]] = [:]
  private var new: [String: [Element]] = [:]

  private mutating func note(_ set: NFTSet) {
    if old[set.name] == nil { sets.append(set) }
    old[set.name, default: []] += []
  }

  mutating func put(_ entry: OwnedTable.Entry, inPlaceOf existing: Element?) {
    if let existing {
      if existing.comment == entry.element.comment, existing.data == entry.element.data { return }
      delete(OwnedTable.Entry(existing, in: entry.set))
    }
    note(entry.set)
    new[entry.set.name, default: []].append(entry.element)
  }

  mutating func delete(_ entry: OwnedTable.Entry) {
    note(entry.set)
    old[entry.set.name]!.append(Element(key: entry.element.key))
  }

  func append(to transaction: inout NFTransaction) {
    for set in sets { transaction.delete(inParts: old[set.name] ?? [], from: set) }
    for set in sets { transaction.create(inParts: new[set.name] ?? [], in: set) }
  }
}

extension NFTransaction {
  /// As many elements as one message is sure to have room for.
  private static let part = 128

  mutating func create(inParts elements: [Element], in set: NFTSet) {
    for start in stride(from: 0, to: elements.count, by: Self.part) {
      create(Array(elements[start..<min(start + Self.part, elements.count)]), in: set)
    }
  }

  mutating func delete(inParts elements: [Element], from set: NFTSet) {
    for start in stride(from: 0, to: elements.count, by: Self.part) {
      delete(Array(elements[start..<min(start + Self.part, elements.count)]), from: set)
    }
  }
}
