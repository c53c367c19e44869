import AsyncRuntime
import CNI
import CNIExecution
import CNIPluginKit
import CNIRuntime
import Logging
import LoopbackPlugin
import Synchronization

/// Gives containers their networks: loads network configurations, attaches each container to all of them, and takes it off
/// again (the Go counterpart is containerd/go-cni).
///
/// ```swift
/// let networking = try ContainerNetworking(minimumNetworkCount: 2)
/// try await networking.load(.loopback, .defaultConfiguration)
/// let result = try await networking.setUp("c1", namespace: "/run/netns/c1")
/// print(result.interfaces["eth0"]!.addresses[0])
/// try await networking.remove("c1", namespace: "/run/netns/c1")
/// ```
///
/// It may be used from any number of tasks. Operations on different containers run in parallel, those on one container one
/// after the other, and ``collectGarbage(keeping:everyNetwork:timeout:)`` alone. No thread of Swift's concurrency is blocked.
///
/// Cancellation of the task, and the timeout of operations that call plugins, reach the plugins that run, and what a set-up has
/// begun is taken back. A plugin that is a process gets SIGTERM, and then SIGKILL. One that is linked in cannot be killed: it has
/// the grace period to notice, and is waited for up to a minute more before its work is undone; if it runs even then, the error
/// says so as something that could not be undone, and the cache keeps its note of the attachment.
public final class ContainerNetworking: Sendable {
  /// Where container runtimes look for configurations by default: `/etc/cni/net.d`.
  public static let defaultConfigurationDirectory = ConfigurationDirectory.defaultPath
  /// Where container runtimes look for plugins by default: `/opt/cni/bin`.
  public static let defaultPluginDirectory = "/opt/cni/bin"
  /// Where results are remembered by default, as in all that builds on libcni: `/var/lib/cni`.
  public static let defaultCacheDirectory = "/var/lib/cni"

  let runtime: AsyncRuntime
  let containers = KeyedLock<String>()
  /// Who has passed reads configurations and stores what it has read.
  let loading = Turnstile(Slots(1))
  /// The directory, read when somebody asks. A file that is broken goes on to stand for what it held before.
  let directory: LiveConfigurations
  let state: Mutex<State>

  struct State: Sendable {
    var configuration: NetworkingConfiguration
    /// What was loaded last; `nil` before.
    var sources: [ConfigurationSource]?
  }

  /// Prepares; nothing is loaded yet. The calling thread's network namespace is the host.
  /// - Parameters:
  ///   - minimumNetworkCount: How many networks have to be loaded before containers are set up. The loopback network counts as
  ///     one.
  ///   - configurationDirectory: Where configurations are looked for.
  ///   - maximumConfigurationCount: How many networks ``ConfigurationSource/defaultConfiguration`` takes from there at
  ///     most; 0 is no limit.
  ///   - pluginDirectories: Where plugins are looked for, best first. They also find there what they delegate to.
  ///   - embedded: Plugins that are linked into this program, and run in it (`ReferencePlugins.all`, say).
  ///   - preference: Which of the two come first. By default what is in a directory.
  ///   - interfacePrefix: What the names of the containers' interfaces begin with; a number follows.
  ///   - cacheDirectory: Where results are remembered. Programs that share it know of each other's containers.
  ///   - pluginTimeout: The longest time for one run of one plugin, two minutes by default; `nil` is no limit. One that hangs for
  ///     ever holds up whoever has no timeout of its own, ``collectGarbage(keeping:everyNetwork:timeout:)`` above all.
  ///   - gracePeriod: The time between SIGTERM and SIGKILL for a plugin that is stopped; for one that is linked in, the time
  ///     to notice that.
  ///   - maximumConcurrency: How many networks of containers are set up at a time; others wait their turn. As many may be
  ///     removed meanwhile, and as many checked or asked for their status.
  ///   - logger: Where to log: every network at `debug`, every plugin at `trace`, and what is odd and stops nobody at
  ///     `warning`.
  /// - Throws: `invalidParameter` for a prefix that makes no name of an interface, and for counts below their minimum (0
  ///   networks, 0 configurations, 1 at a time).
  public init(
    minimumNetworkCount: Int = 1, configurationDirectory: String = defaultConfigurationDirectory,
    maximumConfigurationCount: Int = 1, pluginDirectories: [String] = [defaultPluginDirectory],
    embedded: EmbeddedPlugins = .none, preference: PluginRunner.Preference = .pathFirst,
    interfacePrefix: String = "eth", cacheDirectory: String = defaultCacheDirectory,
    pluginTimeout: Duration? = .seconds(120), gracePeriod: Duration = .seconds(2),
    maximumConcurrency: Int = 64,
    logger: Logger = Logger(label: "swift-cni.ContainerNetworking")
  ) throws(ContainerNetworkingError) {
    func refuse(_ reason: String, _ remedy: String = "") -> ContainerNetworkingError {
      ContainerNetworkingError(.invalidParameter, "prepare the networking of containers", reason, remedy)
    }
    for (name, count, least) in [
      ("minimumNetworkCount", minimumNetworkCount, 0),
      ("maximumConfigurationCount", maximumConfigurationCount, 0),
      ("maximumConcurrency", maximumConcurrency, 1),
    ] where count < least {
      throw refuse("\(name) is \(count)", "it has to be \(least) at least")
    }
    do throws(CNIError) { try Validation.interfaceName(interfacePrefix + "0") } catch {
      throw refuse("interfacePrefix: \(error.message)", error.details)
    }
    let runtime = CNIRuntime(
      pluginPath: pluginDirectories, cacheDirectory: cacheDirectory,
      embedded: embedded + EmbeddedPlugins([EmbeddedPlugin(Loopback.self)]), preference: preference,
      limits: ExecutionLimits(timeout: pluginTimeout, gracePeriod: gracePeriod))
    self.runtime = AsyncRuntime(runtime, maximumConcurrency: maximumConcurrency, logger: logger)
    directory = LiveConfigurations(ConfigurationDirectory(configurationDirectory), mode: .onUse)
    state = Mutex(
      State(
        configuration: NetworkingConfiguration(
          pluginDirectories: pluginDirectories, configurationDirectory: configurationDirectory,
          maximumConfigurationCount: maximumConfigurationCount, minimumNetworkCount: minimumNetworkCount,
          interfacePrefix: interfacePrefix)))
  }

  /// Whether containers can be set up now: asks every plugin by STATUS. What hangs while it sets up a container holds this up only
  /// where the plugin's STATUS hangs as well.
  /// - Parameter timeout: How long all of it may take; `nil` is no limit.
  /// - Throws: `notInitialized` if nothing has been loaded; `noConfiguration` if there are fewer networks than there have to
  ///   be; `notReady` with what the plugins that are not ready say; `pluginFailed` if one has not said anything (it is not there, or
  ///   has crashed); `invalidConfiguration`, `timedOut`, `cancelled`.
  public func status(timeout: Duration? = nil) async throws(ContainerNetworkingError) {
    let operation = "set up containers"
    let networks = try ready(operation).networks
    var failures: [RuntimeError] = []
    let limits = limits(until: timeout.map(Deadline.after))
    for network in networks {
      do throws(RuntimeError) {
        try await runtime.for(network.name).status(network.list, limits: limits)
      } catch {
        failures.append(error)
      }
    }
    guard !failures.isEmpty else { return }
    var error = ContainerNetworkingError(operation, failures: failures)
    if failures.allSatisfy(\.isPluginsOwn) { error.kind = .notReady }
    throw error
  }

  /// A container's ID becomes part of paths.
  func validate(_ id: String, _ operation: String) throws(ContainerNetworkingError) {
    do throws(CNIError) { try Validation.containerID(id) } catch {
      throw ContainerNetworkingError(.invalidParameter, operation, error.message, error.details)
    }
  }

  /// The default limits with another end.
  func limits(until deadline: Deadline?) -> ExecutionLimits {
    var limits = runtime.runtime.runner.limits
    limits.deadline = deadline
    return limits
  }
}

extension AsyncRuntime {
  /// The runtime for a network: loopback is what comes along, and not what is in some directory.
  func `for`(_ network: String) -> AsyncRuntime {
    guard network == LoopbackNetwork.name else { return self }
    var own = self
    own.runtime.runner.preference = .embeddedFirst
    return own
  }
}
