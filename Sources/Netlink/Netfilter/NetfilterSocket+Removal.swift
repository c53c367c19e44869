import Glibc

/// Taking away what is known by what it looks like, not by having made it.
extension NetfilterSocket {
  /// Deletes the rules of a chain that answer a description, all in one transaction; rules that others delete
  /// meanwhile are nobody's loss.
  ///
  /// - Returns: how many; 0 also if the chain is not there.
  @discardableResult
  public mutating func deleteRules(
    in chain: Chain, where matches: (Rule) -> Bool
  ) throws(NetlinkError) -> Int {
    var attempts = 100
    while true {
      var transaction = NFTransaction()
      for rule in try rules(in: chain) where matches(rule) { transaction.delete(rule) }
      do {
        try commit(transaction)
        return transaction.commands.count
      } catch {
        attempts -= 1
        guard attempts > 0, error.errno.rawValue == ENOENT || error.errno.rawValue == EINTR else {
          throw error
        }
      }
    }
  }

  /// Deletes a chain with its rules, and before that the rules that jump to it from `callers`, in one transaction: the
  /// way to take away what a Go plugin left in iptables' tables (`CNI-…`, called from `POSTROUTING`).
  ///
  /// Where a rule of another chain, or a map, leads to it too, it stays without rules for those who call it.
  ///
  /// - Returns: whether the chain was there.
  @discardableResult
  public mutating func deleteChain(
    _ chain: Chain, jumpsFrom callers: [Chain]
  ) throws(NetlinkError) -> Bool {
    var attempts = 100
    var isCalledElsewhere = false
    while true {
      do {
        _ = try self.chain(chain.name, in: chain.table)
      } catch {
        guard error.isNotFound else { throw error }
        return false
      }
      var transaction = NFTransaction()
      for caller in callers {
        for rule in try rules(in: caller) where rule.jumpTargets.contains(chain.name) {
          transaction.delete(rule)
        }
      }
      if isCalledElsewhere { transaction.flush(chain) } else { transaction.delete(chain) }
      do {
        try commit(transaction)
        return true
      } catch {
        attempts -= 1
        switch error.errno.rawValue {
        case EBUSY where attempts > 0 && !isCalledElsewhere: isCalledElsewhere = true
        case ENOENT where attempts > 0, EINTR where attempts > 0: break
        default: throw error
        }
      }
    }
  }
}
