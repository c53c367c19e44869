import CLinux
import Glibc
import ReferencePlugins

/// One executable under many names: called as a plugin it is that plugin, otherwise it is `cnitool`.
@main
enum Main {
  /// The version of this product.
  static let version = "0.1.0"

  static func main() {
    // Not CommandLine: on Linux it looks for them in its own memory, whose map it reads, and has none if it cannot.
    var count: CInt = 0
    let values = clinux_arguments(&count)
    let name = if count > 0, let path = values?[0] { baseName(path) } else { "cni" }
    let arguments = (0..<Int(count)).dropFirst().compactMap { values?[$0].map { String(cString: $0) } }
    if let status = ReferencePlugins.run(named: name, arguments: arguments, version: version) { exit(status) }
    // For `make install`: the names to link this file under.
    switch arguments {
    case ["--list-names"]: list(ReferencePlugins.names)
    case ["--list-names", "--test-plugins"]: list(ReferencePlugins.names + ReferencePlugins.testDoubleNames)
    default: exit(CNITool.run(arguments))
    }
  }

  private static func list(_ names: [String]) { for name in names { print(name) } }

  private static func baseName(_ path: UnsafePointer<CChar>) -> String {
    guard let slash = strrchr(path, Int32(UInt8(ascii: "/"))) else { return String(cString: path) }
    return String(cString: slash + 1)
  }
}
