import CNI
import CNIExecution
import CNIPluginKit
import CNIRuntime
import Glibc
import ReferencePlugins

/// What cnitool takes from its environment: configurations, plugins, arguments.
struct Surroundings {
  let directory: ConfigurationDirectory
  let runtime: CNIRuntime

  init(_ arguments: Arguments) {
    directory = ConfigurationDirectory(Self.variable("NETCONFPATH") ?? ConfigurationDirectory.defaultPath)
    let path = (Self.variable("CNI_PATH") ?? "").split(separator: ":").map(String.init)
    var runtime = CNIRuntime(
      pluginPath: path, cacheDirectory: arguments["--cache-dir"] ?? "/var/lib/cni",
      embedded: ReferencePlugins.all)
    // What is found in CNI_PATH is executed, also where it is this very file: to see that is what one calls it for.
    runtime.runner.runsOwnFileInProcess = false
    self.runtime = runtime
  }

  static func variable(_ name: String) -> String? {
    guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
    return value
  }

  /// The network of that name. Where there is none, `default` is the built-in one.
  func network(_ name: String) throws -> NetworkConfigurationList {
    do throws(RuntimeError) {
      return try directory.network(named: name).list
    } catch {
      guard name == DefaultNetwork.name, error.kind == .noConfiguration || error.kind == .networkNotFound
      else {
        throw error
      }
      return try DefaultNetwork.list
    }
  }

  /// The parameters of an attachment of the container in the namespace at `path`.
  func parameters(_ arguments: Arguments, namespace path: String) throws -> AttachmentParameters {
    let path = Self.absolute(path)
    return AttachmentParameters(
      containerID: arguments["--container-id"] ?? Self.containerID(path),
      namespace: path,
      interfaceName: arguments["--ifname"] ?? Self.variable("CNI_IFNAME") ?? "eth0",
      arguments: try CNIArguments(parsing: Self.variable("CNI_ARGS") ?? ""),
      capabilityArguments: try Self.capabilities()
    )
  }

  /// `CAP_ARGS`.
  static func capabilities() throws -> JSONObject {
    guard let text = variable("CAP_ARGS") else { return JSONObject() }
    let json: JSONValue
    do {
      json = try JSONValue.parse(text)
    } catch {
      throw CNIError(.invalidEnvironment, "CAP_ARGS is not JSON: \(error)")
    }
    guard let object = json.object else {
      throw CNIError(
        .invalidEnvironment, "CAP_ARGS is not a JSON object, such as {\"mac\":\"02:00:5e:10:00:01\"}")
    }
    return object
  }

  /// The ID that the Go cnitool gives a container too: what one attached, the other can detach.
  private static func containerID(_ path: String) -> String {
    "cnitool-" + SHA512.hexadecimal(path, length: 20)
  }

  /// `path` as an absolute one without `.`, `..` and doubled slashes, as the Go cnitool makes it.
  static func absolute(_ path: String) -> String {
    var absolute = path
    if !path.hasPrefix("/") {
      guard let here = getcwd(nil, 0) else { return path }
      defer { free(here) }
      absolute = String(cString: here) + "/" + path
    }
    var parts: [Substring] = []
    for part in absolute.split(separator: "/") {
      switch part {
      case ".": continue
      case "..": _ = parts.popLast()
      default: parts.append(part)
      }
    }
    var normal = ""
    for part in parts { normal += "/" + String(part) }
    return normal.isEmpty ? "/" : normal
  }
}

/// The network that needs no file: a bridge with masquerading and addresses of 10.22.0.0/16.
enum DefaultNetwork {
  static let name = "default"

  private static let text = """
    {
      "cniVersion": "1.1.0",
      "name": "default",
      "plugins": [
        {
          "type": "bridge",
          "bridge": "cni0",
          "isGateway": true,
          "ipMasq": true,
          "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.22.0.0/16" }]],
            "routes": [{ "dst": "0.0.0.0/0" }]
          }
        }
      ]
    }
    """

  static var list: NetworkConfigurationList {
    get throws { try NetworkConfigurationList(bytes: Array(text.utf8), source: "built into cnitool") }
  }

  /// What gives a container its `lo`.
  static var loopback: NetworkConfigurationList {
    get throws {
      try NetworkConfigurationList(
        bytes: Array(
          "{\"cniVersion\":\"1.1.0\",\"name\":\"loopback\",\"plugins\":[{\"type\":\"loopback\"}]}".utf8))
    }
  }
}
