import Glibc
import SystemPackage

/// `errno`, under a name that a property `errno` does not shadow.
var systemErrno: CInt { errno }

extension String {
  /// A path with a NUL byte in it would reach the kernel cut short, as another path.
  var containsNUL: Bool { utf8.contains(0) }
}

/// `open(2)` with `O_CLOEXEC`, repeated when a signal interrupts it.
///
/// `O_NONBLOCK` has no effect on files; it keeps a FIFO that somebody put in the place of one from blocking us.
func openDescriptor(_ path: String, _ flags: CInt, mode: UInt32 = 0) -> Result<CInt, Errno> {
  guard !path.containsNUL else { return .failure(.invalidArgument) }
  while true {
    let descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode)
    if descriptor >= 0 { return .success(descriptor) }
    guard systemErrno == EINTR else { return .failure(.last) }
  }
}

/// Writes all of `bytes`.
///
/// - Returns: What kept it from doing so.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) -> Errno? {
  var rest = bytes
  while !rest.isEmpty {
    let count = Glibc.write(descriptor, rest.baseAddress!, rest.count)
    if count > 0 {
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    } else if count == 0 {
      return .noSpace
    } else if systemErrno != EINTR {
      return .last
    }
  }
  return nil
}

/// Reads up to `limit` bytes, to the end of the file. More than that is `EFBIG`.
func readAll(_ descriptor: CInt, expecting size: Int, limit: Int) -> Result<[UInt8], Errno> {
  var failure: Errno?
  var bytes: [UInt8] = []
  // One more than expected shows that the file ends where it should; files in /proc say that they are empty.
  var capacity = min(size > 0 ? size : 4096, limit) + 1
  repeat {
    let start = bytes.count
    bytes.append(
      contentsOf: [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
        while filled < capacity {
          let count = Glibc.read(descriptor, buffer.baseAddress! + filled, capacity - filled)
          if count > 0 {
            filled += count
            if start == 0 && filled == size { return }
          } else if count == 0 {
            return
          } else if systemErrno != EINTR {
            failure = .last
            return
          }
        }
      })
    if let failure { return .failure(failure) }
    if bytes.count > limit { return .failure(.fileTooLarge) }
    guard bytes.count - start == capacity else { return .success(bytes) }
    capacity = min(max(capacity, 4096) * 2, limit + 1 - bytes.count)
  } while true
}
