import Glibc
import Testing

extension Trait where Self == ConditionTrait {
  /// Skips the test where namespaces and links cannot be made (CAP_SYS_ADMIN and CAP_NET_ADMIN missing).
  public static var requiresRoot: Self {
    .enabled(if: canMakeNamespaces, "needs CAP_SYS_ADMIN and CAP_NET_ADMIN")
  }

  /// Skips the test where the program is not installed (looked for in `PATH` and the sbin directories).
  public static func requiresProgram(_ name: String) -> Self {
    .enabled(if: findProgram(name) != nil, "needs the program \(name)")
  }
}

private let canMakeNamespaces: Bool = {
  guard let status = fopen("/proc/self/status", "re") else { return false }
  defer { fclose(status) }
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, 256, status) != nil {
    let text = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    guard text.hasPrefix("CapEff:") else { continue }
    let digits = text.dropFirst(7).filter(\.isHexDigit)
    let needed: UInt64 = 1 << 12 | 1 << 21  // CAP_NET_ADMIN, CAP_SYS_ADMIN
    return (UInt64(digits, radix: 16) ?? 0) & needed == needed
  }
  return false
}()
