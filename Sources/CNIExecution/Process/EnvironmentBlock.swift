import CLinux
import Glibc

/// The environment of a child: what is inherited, by pointer and without a copy, with some names replaced.
struct EnvironmentBlock {
  /// `NAME=value`, NUL-terminated, one after another.
  private var bytes: [UInt8] = []
  /// Where each entry begins, and how long its `NAME=` is.
  private var entries: [(start: Int, prefix: Int)] = []
  /// A value had a NUL byte in it, which no environment can carry.
  private(set) var isUnrepresentable = false

  init(capacity: Int = 512) {
    bytes.reserveCapacity(capacity)
    entries.reserveCapacity(12)
  }

  /// Sets one variable; of two with the same name the first counts.
  mutating func set(_ name: StaticString, _ value: String) {
    name.withUTF8Buffer { append(name: $0, value) }
  }

  mutating func set(_ name: String, _ value: String) {
    var name = name
    name.withUTF8 { append(name: $0, value) }
  }

  private mutating func append(name: UnsafeBufferPointer<UInt8>, _ value: String) {
    if name.isEmpty || name.contains(0) || name.contains(UInt8(ascii: "=")) {
      isUnrepresentable = true
      return
    }
    let start = bytes.count
    bytes.append(contentsOf: name)
    bytes.append(UInt8(ascii: "="))
    let prefix = bytes.count - start
    if bytes.withUnsafeBufferPointer({ all in isSet(all, start: start, prefix: prefix) }) {
      bytes.removeSubrange(start...)
      return
    }
    var value = value
    value.withUTF8 {
      if $0.contains(0) { isUnrepresentable = true }
      bytes.append(contentsOf: $0)
    }
    bytes.append(0)
    entries.append((start, prefix))
  }

  private func isSet(_ all: UnsafeBufferPointer<UInt8>, start: Int, prefix: Int) -> Bool {
    entries.contains {
      $0.prefix == prefix && memcmp(all.baseAddress! + $0.start, all.baseAddress! + start, prefix) == 0
    }
  }

  /// Calls `body` with the array that `posix_spawn` wants: inherited variables that were not set, then those that were.
  mutating func withPointers<R>(
    inheriting inherited: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = clinux_environment(),
    _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
  ) -> R {
    var inheritedCount = 0
    if let inherited { while inherited[inheritedCount] != nil { inheritedCount += 1 } }
    let entries = entries
    return bytes.withUnsafeMutableBytes { block in
      let base = block.baseAddress?.assumingMemoryBound(to: CChar.self)
      return withUnsafeTemporaryAllocation(
        of: UnsafeMutablePointer<CChar>?.self, capacity: inheritedCount + entries.count + 1
      ) { pointers in
        var count = 0
        for index in 0..<inheritedCount {
          let variable = inherited![index]!
          if let base, entries.contains(where: { strncmp(variable, base + $0.start, $0.prefix) == 0 }) {
            continue
          }
          pointers.initializeElement(at: count, to: variable)
          count += 1
        }
        for entry in entries {
          pointers.initializeElement(at: count, to: base! + entry.start)
          count += 1
        }
        pointers.initializeElement(at: count, to: nil)
        return body(pointers.baseAddress!)
      }
    }
  }

  /// The same variables as text.
  func strings(inheriting inherited: [String]) -> [String] {
    let own = entries.map { entry in
      let end = bytes[entry.start...].firstIndex(of: 0) ?? bytes.endIndex
      return (prefix: Array(bytes[entry.start..<entry.start + entry.prefix]), text: bytes[entry.start..<end])
    }
    return inherited.filter { variable in !own.contains { variable.utf8.starts(with: $0.prefix) } }
      + own.map { String(decoding: $0.text, as: UTF8.self) }
  }
}
