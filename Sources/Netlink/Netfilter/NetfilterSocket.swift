import Glibc
import SystemPackage

/// A socket for nf_tables in one network namespace: transactions in, tables, chains, rules, sets and elements out.
public struct NetfilterSocket: ~Copyable, Sendable {
  var socket: NetlinkSocket

  /// Opens a socket in the network namespace that the descriptor `namespace` refers to, or in that of the
  /// calling thread.
  public init(namespace: Int32? = nil) throws(NetlinkError) {
    socket = try NetlinkSocket(.netfilter, namespace: namespace)
  }

  /// Carries out all of the transaction, or nothing of it: one `sendmsg`, and when all goes well one answer to read.
  ///
  /// - Throws: of the command that failed first, in nft's words, with its index as `requestIndex`: `cannot create
  ///   element { 10.22.0.5 } to map inet cni sources4: File exists (EEXIST)`. `ERESTART` if the rule set is no
  ///   longer of the transaction's generation.
  public mutating func commit(_ transaction: NFTransaction) throws(NetlinkError) {
    let count = transaction.commands.count
    guard count > 0 else { return }
    let first = socket.reserveSequences(count + 2)
    let builder = transaction.encode(sequence: first)
    if builder.isOversized {
      throw NetlinkError(
        errno: Errno(rawValue: EMSGSIZE), message: "more elements in one command than a message holds",
        operation: Self.whole)
    }
    var awaiting = [NetlinkCompletion](repeating: .silence, count: count + 2)
    awaiting[count] = .acknowledgement
    let result = try socket.exchange(
      builder.bytes, first: first, awaiting: awaiting, operation: NetlinkOperation(Self.whole))
    guard !result.failures.isEmpty else { return }
    throw Self.error(result.failures, transaction, first, builder.bytes)
  }

  private static var whole: String { "commit nf_tables transaction" }

  /// The command that failed first says most: those behind it often fail because of it.
  private static func error(
    _ failures: [NetlinkFailure], _ transaction: NFTransaction, _ first: UInt32, _ bytes: [UInt8]
  ) -> NetlinkError {
    let failure = failures.min { $0.sequence &- first < $1.sequence &- first }!
    let index = Int(failure.sequence &- first) - 1
    guard transaction.commands.indices.contains(index) else { return failure.error(operation: whole) }
    let messages = (try? ReceivedMessage.parse(bytes)) ?? []
    let size = messages.prefix(index + 1).reduce(0) { $0 + (($1.payload.count + 3) & ~3) + 16 }
    return failure.error(
      operation: transaction.commands[index].operation.description, request: bytes[size...], index: index)
  }

  /// The number of the rule set's present state: each commit of anybody makes it another.
  public mutating func generation() throws(NetlinkError) -> UInt32 {
    let request = NetlinkRequest(
      type: NFTMessage.subsystem | 16, flags: .request, operation: "get generation of the rule set"
    ) { $0.netfilterHeader(0) }
    let answer = try socket.perform(request)
    return answer.first?.netfilterAttributes[1]?.bigEndian() ?? 0
  }
}

extension NetfilterSocket {
  /// Carries out the first of several transactions that finds what it builds on: each later one brings more of
  /// what the earlier ones take for granted.
  ///
  /// ```swift
  /// try socket.commit(firstPossible: [
  ///   addElement,            // costs one round trip, and is enough but for the first time
  ///   createChain + addElement,
  ///   createTable + createChain + addElement,
  /// ])
  /// ```
  /// A transaction that lacks something (`ENOENT`) is followed by the next; one that makes a table, chain or
  /// set with `create` which somebody else has just made (`EEXIST`) by the first again. So several callers at
  /// once make everything once, with its rules. An element or anything else that is refused is an error.
  ///
  /// - Returns: which of the transactions was carried out.
  /// - Throws: the last failure.
  @discardableResult
  public mutating func commit(firstPossible ladder: [NFTransaction]) throws(NetlinkError) -> Int {
    var step = 0
    var attempts = 100
    while true {
      do {
        try commit(ladder[step])
        return step
      } catch {
        attempts -= 1
        guard attempts > 0 else { throw error }
        switch error.errno.rawValue {
        case ENOENT where step + 1 < ladder.count: step += 1
        case ENOENT where step > 0, ERESTART, EINTR:
          // What was there a moment ago has just been deleted, or everything has changed.
          step = 0
        case EEXIST:
          guard step > 0, let index = error.requestIndex, ladder[step].commands[index].isLayout else {
            throw error
          }
          step = 0
        default: throw error
        }
      }
    }
  }

  /// Carries out a transaction that was composed from what the rule set holds: `prepare` reads, and returns
  /// what is to be done, or nil if nothing is. If the rule set changes between, both are repeated.
  ///
  /// - Throws: what `prepare` throws, or the failure of the commit; `ERESTART` after 100 attempts.
  public mutating func commitPrepared(
    _ prepare: (inout NetfilterSocket) throws(NetlinkError) -> NFTransaction?
  ) throws(NetlinkError) {
    var attempts = 100
    while true {
      let generation = try generation()
      guard var transaction = try prepare(&self), !transaction.isEmpty else { return }
      transaction.generation = generation
      do {
        return try commit(transaction)
      } catch {
        attempts -= 1
        guard attempts > 0, error.errno.rawValue == ERESTART else { throw error }
      }
    }
  }
}

extension NetfilterSocket {
  /// Carries out the transaction, and says whether it could; an error that `isTolerable` is none.
  public mutating func commit(
    _ transaction: NFTransaction, unless isTolerable: (NetlinkError) -> Bool
  ) throws(NetlinkError) -> Bool {
    do {
      try commit(transaction)
      return true
    } catch  where isTolerable(error) {
      return false
    }
  }
}

extension NFTCommand {
  /// Makes something that others build on.
  fileprivate var isLayout: Bool {
    switch object {
    case .table, .chain, .set: verb == .create
    case .rule, .elements: false
    }
  }
}

extension NFTransaction {
  /// The commands of both, in order.
  public static func + (first: NFTransaction, second: NFTransaction) -> NFTransaction {
    NFTransaction(first.commands + second.commands, generation: first.generation ?? second.generation)
  }
}
