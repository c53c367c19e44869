import ContainerNetworking
import Glibc
import ReferencePlugins

/// A container manager for tests to kill: sets containers up and removes them, again and again, until it is killed.
///
/// `ContainerManager CONFIGURATIONS CACHE PLUGINS CONTAINER...`; without plugins (`-`) those that are linked in are used. The
/// namespace of container `c` is `/run/netns/c`. Writes `ready` when it begins.
@main struct Main {
  static func main() async throws {
    let arguments = CommandLine.arguments
    let containers = arguments[4...]
    let embedded = arguments[3] == "-"
    let networking = try ContainerNetworking(
      minimumNetworkCount: 3, configurationDirectory: arguments[1],
      pluginDirectories: embedded ? [] : [arguments[3]],
      embedded: embedded ? ReferencePlugins.all : .none, cacheDirectory: arguments[2])
    try await networking.load(.loopback, .allConfigurations)
    _ = write(1, "ready\n", 6)
    while true {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for container in containers {
          group.addTask { _ = try await networking.setUp(container, namespace: "/run/netns/\(container)") }
        }
        try await group.waitForAll()
      }
      for container in containers { try await networking.remove(container) }
    }
  }
}
