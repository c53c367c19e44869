/// Changes of the rule set that take effect together, or not at all.
///
/// ```swift
/// var transaction = NFTransaction()
/// transaction.add(table)
/// transaction.add(chain)
/// transaction.add(Rule(in: chain, [.ipSource(in: set), .masquerade]))
/// try socket.commit(transaction)
/// ```
/// A later command may refer to what an earlier one makes. Prints as lines for `nft -f`.
public struct NFTransaction: Hashable, Sendable, CustomStringConvertible {
  /// What is to be done, in order.
  public var commands: [NFTCommand]
  /// The generation that the rule set must still be of, as `NetfilterSocket.generation()` gave it; else nothing
  /// happens, and the commit fails with `ERESTART`. Nil: any.
  public var generation: UInt32?

  /// A transaction of these commands.
  public init(_ commands: [NFTCommand] = [], generation: UInt32? = nil) {
    self.commands = commands
    self.generation = generation
  }

  /// Whether there is nothing to be done.
  public var isEmpty: Bool { commands.isEmpty }

  /// One line for each command.
  public var description: String { commands.map(\.description).joined(separator: "\n") }

  /// Makes a table unless it is there.
  public mutating func add(_ table: Table) { commands.append(.init(.add, .table(table))) }
  /// Makes a chain unless it is there.
  public mutating func add(_ chain: Chain) { commands.append(.init(.add, .chain(chain))) }
  /// Adds a rule to the end of its chain, whether or not there is one like it.
  public mutating func add(_ rule: Rule) { commands.append(.init(.add, .rule(rule))) }
  /// Makes a set or map unless it is there.
  public mutating func add(_ set: NFTSet) { commands.append(.init(.add, .set(set))) }
  /// Adds elements. One that is there with the same data is left as it is, its old comment included; one that
  /// is there with other data fails with `EEXIST`.
  public mutating func add(_ elements: Element..., to set: NFTSet) { add(elements, to: set) }
  /// Adds elements.
  public mutating func add(_ elements: [Element], to set: NFTSet) {
    commands.append(.init(.add, .elements(elements, set)))
  }

  /// Makes a table that must not be there.
  public mutating func create(_ table: Table) { commands.append(.init(.create, .table(table))) }
  /// Makes a chain that must not be there.
  public mutating func create(_ chain: Chain) { commands.append(.init(.create, .chain(chain))) }
  /// Makes a set or map that must not be there.
  public mutating func create(_ set: NFTSet) { commands.append(.init(.create, .set(set))) }
  /// Adds elements whose keys must not be there (`EEXIST`).
  public mutating func create(_ elements: Element..., in set: NFTSet) { create(elements, in: set) }
  /// Adds elements whose keys must not be there.
  public mutating func create(_ elements: [Element], in set: NFTSet) {
    commands.append(.init(.create, .elements(elements, set)))
  }

  /// Puts a rule at the beginning of its chain.
  public mutating func insert(_ rule: Rule) { commands.append(.init(.insert, .rule(rule))) }

  /// Deletes a table and all that is in it; with `ifEmpty`, only one without chains and sets (`EBUSY`).
  public mutating func delete(_ table: Table, ifEmpty: Bool = false) {
    commands.append(.init(ifEmpty ? .deleteEmpty : .delete, .table(table)))
  }
  /// Deletes a chain with its rules; fails (`EBUSY`) while a jump leads to it. With `ifEmpty`, only one without rules.
  public mutating func delete(_ chain: Chain, ifEmpty: Bool = false) {
    commands.append(.init(ifEmpty ? .deleteEmpty : .delete, .chain(chain)))
  }
  /// Deletes a set with its elements; fails (`EBUSY`) while a rule refers to it. With `ifEmpty`, only one without elements.
  public mutating func delete(_ set: NFTSet, ifEmpty: Bool = false) {
    commands.append(.init(ifEmpty ? .deleteEmpty : .delete, .set(set)))
  }
  /// Deletes a rule by its `handle`, which it must have.
  public mutating func delete(_ rule: Rule) {
    precondition(rule.handle != nil, "a rule is deleted by its handle")
    commands.append(.init(.delete, .rule(rule)))
  }
  /// Deletes elements by their keys, which must be there (`ENOENT`).
  public mutating func delete(_ elements: Element..., from set: NFTSet) { delete(elements, from: set) }
  /// Deletes elements by their keys.
  public mutating func delete(_ elements: [Element], from set: NFTSet) {
    commands.append(.init(.delete, .elements(elements, set)))
  }

  /// Deletes the rules of a table's chains.
  public mutating func flush(_ table: Table) { commands.append(.init(.flush, .table(table))) }
  /// Deletes the rules of a chain.
  public mutating func flush(_ chain: Chain) { commands.append(.init(.flush, .chain(chain))) }
  /// Deletes the elements of a set.
  public mutating func flush(_ set: NFTSet) { commands.append(.init(.flush, .set(set))) }

  /// The messages of the batch: begin, one for each command, end, numbered from `sequence` on.
  ///
  /// Only the last command asks for an acknowledgement: the kernel answers in order, and says of the others
  /// what fails.
  public func encoded(sequence: UInt32 = 0) -> [UInt8] {
    encode(sequence: sequence).bytes
  }

  func encode(sequence: UInt32) -> MessageBuilder {
    var builder = MessageBuilder(capacity: 40 + 192 * commands.count)
    let resource = NFTMessage.subsystem >> 8
    builder.message(type: NFTMessage.batchBegin, flags: .request, sequence: sequence) {
      $0.netfilterHeader(0, resource: resource)
      // NFNL_BATCH_GENID
      if let generation { $0.attribute(1, bigEndian: generation) }
    }
    var numbers = SetNumbers()
    for (index, command) in commands.enumerated() {
      command.encode(
        into: &builder, sequence: sequence &+ UInt32(index + 1), acknowledged: index == commands.count - 1,
        numbers: &numbers)
    }
    let last = sequence &+ UInt32(commands.count + 1)
    builder.message(type: NFTMessage.batchEnd, flags: .request, sequence: last) {
      $0.netfilterHeader(0, resource: resource)
    }
    return builder
  }
}
