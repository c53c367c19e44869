import Glibc

/// Waiting, for the few things that the kernel does in its own time and gives no event for.
public enum Pause {
  /// Sleeps for so many milliseconds.
  public static func milliseconds(_ count: UInt32) { usleep(count * 1000) }
}
