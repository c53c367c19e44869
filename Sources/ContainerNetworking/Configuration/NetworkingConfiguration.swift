import CNI
import CNIRuntime

/// What a ``ContainerNetworking`` was made with and what it has loaded.
public struct NetworkingConfiguration: Sendable, Hashable {
  /// A network that containers are attached to.
  public struct Network: Sendable, Hashable {
    /// Its configuration.
    public var list: NetworkConfigurationList
    /// The name of the interface in each container.
    public var interfaceName: String
    /// The file it was loaded from; `nil` if it came from elsewhere.
    public var file: String?

    /// The network's name.
    public var name: String { list.name }
  }

  /// Where plugins are looked for, best first.
  public var pluginDirectories: [String]
  /// Where configurations are looked for.
  public var configurationDirectory: String
  /// How many networks ``ConfigurationSource/defaultConfiguration`` takes from there at most; 0 is no limit.
  public var maximumConfigurationCount: Int
  /// How many networks have to be loaded before containers are set up, the loopback network among them.
  public var minimumNetworkCount: Int
  /// What the names of interfaces begin with; a number follows.
  public var interfacePrefix: String
  /// The networks in the order in which they were loaded.
  public internal(set) var networks: [Network] = []
  /// What is wrong with files that were not loaded, or not as somebody may expect.
  public internal(set) var problems: [ConfigurationProblem] = []
  /// Files of the directory that are broken or being written, and stand for what they held before: networks of theirs may be
  /// among ``networks``.
  public internal(set) var outdatedFiles: [String] = []
  /// Whether networks of the directory were asked for, and there are none.
  var directoryIsEmpty = false

  /// The interface of the first network that is not loopback: `eth0`.
  public var defaultInterfaceName: String { interfacePrefix + "0" }
}

/// The network of the container's loopback interface.
enum LoopbackNetwork {
  static let name = "cni-loopback"
  static let interfaceName = "lo"

  /// Of the newest version: CHECK and STATUS exist since 0.4.0 and 1.1.0.
  static let list = {
    let json: JSONValue = ["cniVersion": "1.1.0", "name": .string(name), "plugins": [["type": "loopback"]]]
    do throws(CNIError) { return try NetworkConfigurationList(json: json) } catch {
      preconditionFailure("\(error)")
    }
  }()
}

extension NetworkingConfiguration {
  /// Loads networks; nothing is changed if that throws.
  /// - Parameter read: Tells what the directory holds, and which of its files are being written.
  mutating func load(
    _ sources: [ConfigurationSource],
    from read: () -> (contents: ConfigurationDirectory.Contents, beingWritten: [String])
  ) throws(ContainerNetworkingError) {
    var found: [(network: Network, index: Int?)] = []
    var directory: ConfigurationDirectory.Contents?
    var problems: [ConfigurationProblem] = []
    for source in sources {
      switch source.origin {
      case .loopback:
        let network = Network(list: LoopbackNetwork.list, interfaceName: LoopbackNetwork.interfaceName)
        found.append((network, nil))
      case .directory(let all):
        if directory == nil {
          let (contents, beingWritten) = read()
          directory = contents
          problems += contents.problems
          problems += beingWritten.map {
            ConfigurationProblem(
              file: $0, reason: "somebody is writing it", remedy: "load again when that is done")
          }
        }
        let maximum = all || maximumConfigurationCount == 0 ? .max : maximumConfigurationCount
        found += directory!.networks.prefix(maximum).map {
          (Network(list: $0.list, interfaceName: "", file: $0.file), nil)
        }
      case .bytes(let bytes):
        do throws(CNIError) {
          found.append((Network(list: try .reading(bytes), interfaceName: ""), source.index))
        } catch {
          throw ContainerNetworkingError(
            .invalidConfiguration, "load a network", error.message, error.details)
        }
      case .file(let path):
        do throws(RuntimeError) {
          found.append((Network(list: try .load(file: path), interfaceName: "", file: path), source.index))
        } catch {
          throw ContainerNetworkingError(
            .invalidConfiguration, "load a network", error.description, failures: [error])
        }
      case .list(let list):
        found.append((Network(list: list, interfaceName: ""), source.index))
      }
    }
    networks = try name(found)
    self.problems = problems
    outdatedFiles = directory?.outdatedFiles ?? []
    directoryIsEmpty = directory?.networks.isEmpty == true
  }

  /// Chosen numbers first; the others get the lowest that are free, in order.
  private func name(_ found: [(network: Network, index: Int?)]) throws(ContainerNetworkingError) -> [Network]
  {
    var taken: Set<Int> = []
    for case (let network, let index?) in found {
      guard index >= 0 else { throw refused(network, index, "is negative") }
      guard taken.insert(index).inserted else { throw refused(network, index, "is that of another network") }
    }
    var next = 0
    var names: Set<String> = []
    var named: [Network] = []
    for var (network, index) in found {
      if network.interfaceName.isEmpty {
        if index == nil {
          while taken.contains(next) { next += 1 }
          index = next
          next += 1
        }
        network.interfaceName = "\(interfacePrefix)\(index!)"
      }
      do throws(CNIError) { try Validation.interfaceName(network.interfaceName) } catch {
        throw ContainerNetworkingError(.invalidParameter, "load a network", error.message, error.details)
      }
      guard names.insert(network.interfaceName).inserted else {
        throw ContainerNetworkingError(
          .invalidParameter, "load network \"\(network.name)\"",
          "there is an interface \"\(network.interfaceName)\" already", "load each network once")
      }
      named.append(network)
    }
    return named
  }

  private func refused(_ network: Network, _ index: Int, _ reason: String) -> ContainerNetworkingError {
    ContainerNetworkingError(
      .invalidParameter, "load network \"\(network.name)\"", "the index \(index) of its interface \(reason)")
  }
}

extension NetworkConfigurationList {
  /// A list, or a single plugin.
  fileprivate static func reading(_ bytes: [UInt8]) throws(CNIError) -> NetworkConfigurationList {
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue.parse(bytes) } catch {
      throw CNIError(.decodingFailure, "it is not valid JSON: \(error)")
    }
    if case .object(let object) = json.kind, object.member(matching: "plugins") == nil {
      return try .wrapping(PluginConfiguration(json: json))
    }
    return try NetworkConfigurationList(json: json)
  }
}
