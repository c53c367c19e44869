import CLinux
import Glibc
import Synchronization

/// A wish to stop, which any thread can make and which reaches plugins that are running.
///
/// Backed by an `eventfd(2)`, so that a thread waiting in `poll` for a plugin wakes at once. A cancellation is made once
/// and stays; it can be shared by any number of operations.
public final class Cancellation: Sendable {
  private let cancelled = Atomic<Bool>(false)
  /// Readable once cancelled. Valid as long as this object.
  public let descriptor: Int32

  /// Makes a cancellation that nobody has asked for yet. Without a free descriptor (`EMFILE`) it still works,
  /// but is noticed only between two plugins.
  public init() {
    descriptor = clinux_eventfd()
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  /// Asks everything that carries this cancellation to stop. From any thread, any number of times.
  public func cancel() {
    guard !cancelled.exchange(true, ordering: .acquiringAndReleasing) else { return }
    var one: UInt64 = 1
    _ = write(descriptor, &one, MemoryLayout<UInt64>.size)
  }

  /// Whether ``cancel()`` was called.
  public var isCancelled: Bool { cancelled.load(ordering: .acquiring) }
}
