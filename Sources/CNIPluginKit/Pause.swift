import CNIExecution
import Glibc

/// Waiting, for the few things that the kernel does in its own time and gives no event for.
public enum Pause {
  /// Sleeps for so many milliseconds.
  public static func milliseconds(_ count: UInt32) { usleep(count * 1000) }

  /// Asks until it is so: at once, after a millisecond, and then at distances that double up to `longest`.
  ///
  /// - Parameters:
  ///   - limit: how long it may take, in milliseconds. After that it is asked once more.
  ///   - longest: the longest distance, in milliseconds.
  /// - Returns: Whether it has become so in time.
  public static func until<Failure: Error>(
    within limit: Int, longest: UInt32, _ isSo: () throws(Failure) -> Bool
  ) throws(Failure) -> Bool {
    let deadline = Deadline.after(.milliseconds(limit))
    var distance: UInt32 = 1
    var isOver = false
    while try !isSo() {
      if isOver { return false }
      milliseconds(distance)
      distance = min(distance * 2, longest)
      isOver = deadline.hasPassed
    }
    return true
  }
}
