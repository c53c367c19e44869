import Glibc
import SystemPackage

/// Several questions at once.
extension NetfilterSocket {
  /// Asks for all these chains in one datagram.
  ///
  /// - Returns: for each of them the chain as the kernel has it, or nil if it, or its table, is not there.
  /// - Throws: the first failure that does not say so.
  public mutating func chains(named wanted: [Chain]) throws(NetlinkError) -> [Chain?] {
    var found = [Chain?](repeating: nil, count: wanted.count)
    guard !wanted.isEmpty else { return found }
    let first = socket.reserveSequences(wanted.count)
    var builder = MessageBuilder(capacity: 64 * wanted.count)
    for (index, chain) in wanted.enumerated() {
      builder.message(
        type: NFTMessage.subsystem | 4, flags: .request, sequence: first &+ UInt32(index)
      ) {
        $0.netfilterHeader(chain.table.family.rawValue)
        chain.encodeReference(into: &$0)
      }
    }
    let result = try socket.exchange(
      builder.bytes, first: first, awaiting: [NetlinkCompletion](repeating: .answer, count: wanted.count),
      operation: "get chains")
    for failure in result.failures where failure.errno.rawValue != ENOENT {
      throw failure.error(operation: "get chain \(wanted[Int(failure.sequence &- first)].reference)")
    }
    for answer in result.answers { found[Int(answer.sequence &- first)] = Chain(answer) }
    return found
  }
}
