import CNI
import CNIRuntime

/// Where networks come from; see ``ContainerNetworking/load(_:)-(ConfigurationSource...)``.
public struct ConfigurationSource: Sendable {
  enum Origin: Sendable {
    case loopback
    case directory(all: Bool)
    case bytes([UInt8])
    case file(String)
    case list(NetworkConfigurationList)
  }

  let origin: Origin
  /// The number of the interface; `nil` is the next free one.
  let index: Int?

  private init(_ origin: Origin, index: Int? = nil) {
    self.origin = origin
    self.index = index
  }

  /// The loopback interface of the container, `lo`. It needs no plugin in a directory.
  public static let loopback = ConfigurationSource(.loopback)

  /// The first networks of the configuration directory, in the order of their files' names: as many as
  /// `maximumConfigurationCount` says, one by default.
  public static let defaultConfiguration = ConfigurationSource(.directory(all: false))

  /// All networks of the configuration directory.
  public static let allConfigurations = ConfigurationSource(.directory(all: true))

  /// The JSON of a list, or of a single plugin.
  /// - Parameters:
  ///   - bytes: The JSON.
  ///   - index: The number of the container's interface (2 is `eth2`); by default the lowest that is free.
  public static func bytes(_ bytes: [UInt8], index: Int? = nil) -> ConfigurationSource {
    ConfigurationSource(.bytes(bytes), index: index)
  }

  /// The JSON of a list, or of a single plugin, as text.
  /// - Parameters:
  ///   - text: The JSON.
  ///   - index: The number of the container's interface (2 is `eth2`); by default the lowest that is free.
  public static func text(_ text: String, index: Int? = nil) -> ConfigurationSource {
    .bytes(Array(text.utf8), index: index)
  }

  /// A file: a list, or a single plugin, whatever its name.
  /// - Parameters:
  ///   - path: The file.
  ///   - index: The number of the container's interface (2 is `eth2`); by default the lowest that is free.
  public static func file(_ path: String, index: Int? = nil) -> ConfigurationSource {
    ConfigurationSource(.file(path), index: index)
  }

  /// A list that has been read already.
  /// - Parameters:
  ///   - list: The list.
  ///   - index: The number of the container's interface (2 is `eth2`); by default the lowest that is free.
  public static func list(_ list: NetworkConfigurationList, index: Int? = nil) -> ConfigurationSource {
    ConfigurationSource(.list(list), index: index)
  }
}
