import SystemPackage

/// What the rule set held of some things that were asked for by name and by key.
public struct NFTView: Sendable {
  /// The number of the rule set's state. A transaction that says it (``NFTransaction/generation``) takes effect only
  /// if everything is still as it was seen here.
  public var generation: UInt32
  /// The table; nil if it is not there.
  public var table: Table?
  /// The chains, in the order asked; nil for those that are not there.
  public var chains: [Chain?]
  /// The elements, in the order asked; nil for those that are not there.
  public var elements: [Element?]
}

extension NetfilterSocket {
  /// Looks for a table, chains of it, and elements by their keys. The kernel finds each of them without searching; the
  /// questions travel in one `sendmsg`, or one for every 256.
  ///
  /// - Parameters:
  ///   - table: The table.
  ///   - chains: The chains.
  ///   - elements: A key, and the set it belongs to, with its `key`, `data` and `flags` as it was made.
  public mutating func look(
    at table: Table, chains: [Chain] = [], elements: [(key: [NFTValue], set: NFTSet)] = []
  ) throws(NetlinkError) -> NFTView {
    var questions: [NetlinkRequest] = [
      // NFT_MSG_GETGEN comes first: what is found afterwards is of this generation, or of a later one.
      Self.question(16, table, "get generation of the rule set") { _ in },
      Self.question(1, table, NetlinkOperation("get table", table.name)) {
        table.encodeReference(into: &$0)
      },
    ]
    questions += chains.map(Self.question)
    for (key, set) in elements {
      questions.append(
        Self.question(13, table, NetlinkOperation("get element of \(set.kind)", set.name)) {
          set.encodeReference(into: &$0)
          $0.nested(3) {
            var index: UInt16 = 0
            Element(key: key).encode(into: &$0, set: set, index: &index, keyOnly: true)
          }
        })
    }
    let answers = try answers(to: questions)
    let behindChains = 2 + chains.count
    return NFTView(
      generation: answers[0]?.netfilterAttributes[1]?.bigEndian() ?? 0,
      table: answers[1].flatMap { Table($0) },
      chains: answers[2..<behindChains].map { $0.flatMap { Chain($0) } },
      elements: zip(answers[behindChains...], elements).map { answer, asked in
        answer.flatMap { Self.elements([$0], asked.set).first }
      })
  }

  /// Looks for chains, of whichever tables; the questions travel together, too.
  ///
  /// - Returns: for each the chain as the kernel has it; nil if it, or its table, is not there.
  public mutating func chains(named wanted: [Chain]) throws(NetlinkError) -> [Chain?] {
    if wanted.isEmpty { return [] }
    return try answers(to: wanted.map(Self.question)).map { $0.flatMap { Chain($0) } }
  }

  private static func question(_ chain: Chain) -> NetlinkRequest {
    question(4, chain.table, NetlinkOperation("get chain", chain.name)) { chain.encodeReference(into: &$0) }
  }

  private static func question(
    _ type: UInt16, _ table: Table, _ operation: NetlinkOperation, _ body: (inout MessageBuilder) -> Void
  ) -> NetlinkRequest {
    NetlinkRequest(type: NFTMessage.subsystem | type, flags: .request, operation: operation) {
      $0.netfilterHeader(table.family.rawValue)
      body(&$0)
    }
  }

  /// The answer to each question; nil to those about what is not there.
  private mutating func answers(to questions: [NetlinkRequest]) throws(NetlinkError) -> [ReceivedMessage?] {
    var answers = [ReceivedMessage?](repeating: nil, count: questions.count)
    var start = 0
    while start < questions.count {
      let part = questions[start..<min(start + 256, questions.count)]
      let first = socket.reserveSequences(part.count)
      var builder = MessageBuilder(capacity: part.count * 96)
      for (index, question) in part.enumerated() {
        builder.message(type: question.type, flags: question.flags, sequence: first + UInt32(index)) {
          $0.append(bytes: question.body)
        }
      }
      let awaiting = [NetlinkCompletion](repeating: .answer, count: part.count)
      let result = try socket.exchange(
        builder.bytes, first: first, awaiting: awaiting, operation: questions[start].operation)
      for failure in result.failures where failure.errno != .noSuchFileOrDirectory {
        throw failure.error(operation: questions[start + Int(failure.sequence - first)].operation.description)
      }
      for answer in result.answers { answers[start + Int(answer.sequence - first)] = answer }
      start += part.count
    }
    return answers
  }

  /// The first elements of a set, as many as the kernel hands over at once, and whether those are all. The socket ends
  /// with this.
  ///
  /// - Throws: `ENOENT` (`isNotFound`) if the set or its table is not there.
  public consuming func firstElements(
    of set: NFTSet
  ) throws(NetlinkError) -> (elements: [Element], isWhole: Bool) {
    let operation = NetlinkOperation("list elements of \(set.kind) \(set.reference)")
    let request = NetlinkRequest(type: NFTMessage.subsystem | 13, flags: .request, operation: operation) {
      $0.netfilterHeader(set.table.family.rawValue)
      set.encodeReference(into: &$0)
    }
    let beginning = try socket.beginningOfDump(request)
    return (Self.elements(beginning.messages, set), beginning.isWhole)
  }
}
