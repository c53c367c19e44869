/// Rules for the names that callers choose. All of them end up in paths, so each is checked before it is used.
///
/// Every error has code 4 and names what is wrong.
public enum Validation {
  // Names of the state of an attachment are made of network, container ID and interface name with a hyphen between
  // them, and a file name has at most 255 bytes. An interface name has at most 15.
  private static let longestFileName = 255
  private static let longestInterfaceName = 15
  private static let longestName = longestFileName - longestInterfaceName - 3

  /// `CNI_CONTAINERID`: a letter or digit, then letters, digits, `_`, `.` and `-`.
  public static func containerID(_ id: String) throws(CNIError) {
    try name(id, of: "CNI_CONTAINERID", "container ID")
  }

  /// A network's `name`, by the same rule as a container ID.
  public static func networkName(_ name: String) throws(CNIError) {
    try self.name(name, of: "name", "network name")
  }

  /// `CNI_IFNAME`, by the rules of Linux for the name of an interface (`dev_valid_name` in net/core/dev.c), and
  /// without `%`, which the kernel would take as a pattern.
  public static func interfaceName(_ name: String) throws(CNIError) {
    try interfaceName(
      name, variable: "CNI_IFNAME", remedyWhenEmpty: "give the interface in the container a name")
  }

  /// The name of an interface that a configuration has under `key`, by the same rules.
  /// - Throws: code 7.
  public static func interfaceName(_ name: String, ofKey key: String) throws(CNIError) {
    do throws(CNIError) {
      try interfaceName(name, variable: key, remedyWhenEmpty: "name an interface")
    } catch {
      throw CNIError(.invalidConfiguration, error.message, details: error.details)
    }
  }

  private static func interfaceName(
    _ name: String, variable: String, remedyWhenEmpty: String
  ) throws(CNIError) {
    if name.isEmpty { throw empty(variable, remedyWhenEmpty) }
    guard name.utf8.count <= longestInterfaceName else {
      throw invalid(
        variable, name, "is too long", "an interface name has at most \(longestInterfaceName) bytes")
    }
    guard name != ".", name != "..", name != "all", name != "default" else {
      throw invalid(variable, name, "is not a name that an interface can have")
    }
    // The kernel looks at bytes, and takes this one for the space that it is in ISO 8859-1.
    guard !name.utf8.contains(0xa0) else {
      throw invalid(
        variable, name, "is not an interface name", "it has a byte that the kernel takes for a space")
    }
    for scalar in name.unicodeScalars {
      let isForbidden =
        switch scalar {
        case "/", ":", "%", "\u{7f}": true
        default: scalar.value <= 0x20 || (!scalar.isASCII && scalar.properties.isWhitespace)
        }
      if isForbidden {
        throw invalid(
          variable, name, "is not an interface name",
          "it must not contain /, :, %, white space or control characters")
      }
    }
  }

  /// A plugin's `type`: the name of a file, and nothing that leads out of a directory.
  public static func pluginType(_ type: String) throws(CNIError) {
    if type.isEmpty { throw empty("type", "name the plugin to run") }
    guard type.utf8.count <= longestFileName else {
      throw invalid("type", type, "is too long for a file name")
    }
    let isFileName =
      type != "." && type != ".."
      && type.utf8.allSatisfy {
        $0 > 0x1f && $0 != 0x7f && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\")
      }
    guard isFileName else {
      throw invalid(
        "type", type, "is not the name of a plugin", "write the file name only, without a directory")
    }
  }

  /// All three names of an attachment, and that they fit together into one file name.
  public static func attachment(
    network: String, containerID: String, interfaceName: String
  ) throws(CNIError) {
    try networkName(network)
    try self.containerID(containerID)
    try self.interfaceName(interfaceName)
    let length = network.utf8.count + containerID.utf8.count + interfaceName.utf8.count + 2
    guard length <= longestFileName else {
      throw CNIError(
        .invalidEnvironment, "CNI_CONTAINERID, CNI_IFNAME and the network's name are too long together",
        details: "they have \(length - 2) bytes, and \(longestFileName - 2) fit into a file name")
    }
  }

  private static func name(_ name: String, of key: String, _ what: String) throws(CNIError) {
    var isFirst = true
    for byte in name.utf8 {
      let isAllowed =
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"):
          true
        case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): !isFirst
        default: false
        }
      guard isAllowed else {
        throw invalid(
          key, name, "is not a \(what)", "it starts with a letter or digit; _, . and - may follow as well")
      }
      isFirst = false
    }
    if isFirst { throw empty(key, "a \(what) is required") }
    guard name.utf8.count <= longestName else {
      throw invalid(key, name, "is too long", "a \(what) has at most \(longestName) bytes")
    }
  }

  private static func empty(_ key: String, _ remedy: String) -> CNIError {
    CNIError(.invalidEnvironment, "\(key) is empty", details: remedy)
  }

  private static func invalid(
    _ key: String, _ value: String, _ reason: String, _ remedy: String = ""
  ) -> CNIError {
    CNIError(.invalidEnvironment, "\(key): \(quoted(value)) \(reason)", details: remedy)
  }
}
