import Glibc
import ReferencePlugins

/// One executable under many names: called as a plugin it is that plugin, otherwise it is `cnitool`.
@main
enum Main {
  /// The version of this product.
  static let version = "0.1.0"

  static func main() {
    // Not CommandLine.arguments: a plugin has no use for the array of all of them.
    let name = if let path = CommandLine.unsafeArgv[0] { baseName(path) } else { "cni" }
    if let status = ReferencePlugins.run(
      named: name, arguments: Array(CommandLine.arguments.dropFirst()), version: version)
    {
      exit(status)
    }
    let arguments = Array(CommandLine.arguments.dropFirst())
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
