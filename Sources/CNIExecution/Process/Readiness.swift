import Glibc

/// One `poll(2)` over what a plugin process can bring about.
struct Readiness {
  var output = (readable: false, closed: false)
  var errors = (readable: false, closed: false)
  var inputWritable = false
  var inputClosed = false
  var end = false
  var cancellation = false

  /// Waits for `timeout` milliseconds (-1: without end) and returns how many are ready; -1 when interrupted. A
  /// descriptor of -1 is not watched.
  mutating func poll(
    output: Int32 = -1, errors: Int32 = -1, input: Int32 = -1, end: Int32 = -1, cancellation: Int32 = -1,
    timeout: Int32
  ) -> Int32 {
    let incoming = Int16(POLLIN)
    // poll(2) skips negative descriptors.
    var watched = (
      pollfd(fd: output, events: incoming, revents: 0),
      pollfd(fd: errors, events: incoming, revents: 0),
      pollfd(fd: input, events: Int16(POLLOUT), revents: 0),
      pollfd(fd: end, events: incoming, revents: 0),
      pollfd(fd: cancellation, events: incoming, revents: 0)
    )
    let count = withUnsafeMutableBytes(of: &watched) {
      Glibc.poll($0.assumingMemoryBound(to: pollfd.self).baseAddress!, 5, timeout)
    }
    guard count > 0 else { return count }
    let gone = Int16(POLLHUP | POLLERR | POLLNVAL)
    self.output = (watched.0.revents & incoming != 0, watched.0.revents & gone != 0)
    self.errors = (watched.1.revents & incoming != 0, watched.1.revents & gone != 0)
    inputClosed = watched.2.revents & gone != 0
    inputWritable = watched.2.revents & Int16(POLLOUT) != 0
    self.end = watched.3.revents & incoming != 0
    self.cancellation = watched.4.revents & incoming != 0
    return count
  }
}
