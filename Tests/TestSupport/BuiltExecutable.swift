import Glibc

/// The executable of this package, built beside the tests; `nil` if it is not.
public let builtExecutable: String? = {
  let arguments = CommandLine.arguments
  let bundle = arguments.firstIndex(of: "--test-bundle-path").map { arguments[$0 + 1] }
  var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
  let length = readlink("/proc/self/exe", &buffer, buffer.count)
  let own = String(decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  for path in [bundle, own] {
    guard let path, let slash = path.lastIndex(of: "/") else { continue }
    let candidate = path[..<slash] + "/cni"
    if access(String(candidate), X_OK) == 0 { return String(candidate) }
  }
  return nil
}()
