import CLinux

/// When the kernel gets to the end of a ``NetfilterSocket`` that has gone away.
///
/// There it waits until all is freed that any transaction in that namespace has deleted, a grace period of some ten
/// milliseconds, and meanwhile no other transaction is let in (`nft_rcv_nl_event` holds `commit_mutex`). A thread of the
/// kernel's does that, so nobody waits who closes a socket; who wants the next transaction does. Plugins come one behind
/// the other in a DEL, and each has something to delete.
public enum NetfilterRelease {
  /// Runs `body`. The sockets that go away meanwhile on this thread stay open until its end (of the outermost, if one is
  /// in another), and are then left to the kernel for later: until ``catchUp()``, or until anybody on the machine closes
  /// a socket of `unix(7)`.
  public static func postponed<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let before = clinux_postpone_closing(true)
    defer { _ = clinux_postpone_closing(before) }
    return try body()
  }

  /// Has the kernel see to all that has been postponed, by whomever; within ``postponed(_:)``, at its end. Does not wait
  /// for it (before Linux 6.10 it does).
  public static func catchUp() { clinux_catch_up_on_closing() }
}
