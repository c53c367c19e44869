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
/// Cancellation of the task, and the timeout that every operation takes, reach the plugins that run: they get SIGTERM, then
/// SIGKILL, and what a set-up has begun is taken back.
public final class ContainerNetworking: Sendable {
  /// Where container runtimes look for configurations by default: `/etc/cni/net.d`.
  public static let defaultConfigurationDirectory = ConfigurationDirectory.defaultPath
  /// Where container runtimes look for plugins by default: `/opt/cni/bin`.
  public static let defaultPluginDirectory = "/opt/cni/bin"
  /// Where results are remembered by default, as in all that builds on libcni: `/var/lib/cni`.
  public static let defaultCacheDirectory = "/var/lib/cni"

  let runtime: AsyncRuntime
  let containers = KeyedLock<String>()
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
  ///     most.
  ///   - pluginDirectories: Where plugins are looked for, best first. They also find there what they delegate to.
  ///   - embedded: Plugins that are linked into this program, and run in it (`ReferencePlugins.all`, say).
  ///   - preference: Which of the two come first. By default what is in a directory.
  ///   - interfacePrefix: What the names of the containers' interfaces begin with; a number follows.
  ///   - cacheDirectory: Where results are remembered. Programs that share it know of each other's containers.
  ///   - pluginTimeout: The longest time for one run of one plugin; `nil` is no limit.
  ///   - gracePeriod: The time between SIGTERM and SIGKILL for a plugin that is stopped.
  ///   - maximumConcurrency: How many networks of containers are worked on at a time; others wait their turn.
  ///   - logger: Where to log: every network at `debug`, every plugin at `trace`, and what is odd and stops nobody at
  ///     `warning`.
  /// - Throws: `invalidParameter` for a prefix that makes no name of an interface, and for counts below their minimum (0
  ///   networks, 1 configuration, 1 at a time).
  public init(
    minimumNetworkCount: Int = 1, configurationDirectory: String = defaultConfigurationDirectory,
    maximumConfigurationCount: Int = 1, pluginDirectories: [String] = [defaultPluginDirectory],
    embedded: EmbeddedPlugins = .none, preference: PluginRunner.Preference = .pathFirst,
    interfacePrefix: String = "eth", cacheDirectory: String = defaultCacheDirectory,
    pluginTimeout: Duration? = nil, gracePeriod: Duration = .seconds(2), maximumConcurrency: Int = 64,
    logger: Logger = Logger(label: "swift-cni.ContainerNetworking")
  ) throws(ContainerNetworkingError) {
    func refuse(_ reason: String, _ remedy: String = "") -> ContainerNetworkingError {
      ContainerNetworkingError(.invalidParameter, "prepare the networking of containers", reason, remedy)
    }
    for (name, count, least) in [
      ("minimumNetworkCount", minimumNetworkCount, 0),
      ("maximumConfigurationCount", maximumConfigurationCount, 1),
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

  // MARK: - Configuration

  /// What was loaded last, as it was read.
  public var configuration: NetworkingConfiguration { state.withLock { $0.configuration } }

  /// Loads networks, in place of those that were loaded before. Operations under way go on with what they began with.
  ///
  /// The interface of the first network gets the number 0, and so on; loopback and explicit indices apart. A file of the
  /// directory that is broken stops nobody: ``NetworkingConfiguration/problems`` tells.
  /// - Throws: `invalidConfiguration` for bytes or a file that cannot be used: then nothing has changed. `noConfiguration`
  ///   if there are fewer networks than there have to be: then those are loaded.
  public func load(_ sources: ConfigurationSource...) async throws(ContainerNetworkingError) {
    try await load(sources)
  }

  /// Loads networks; see ``load(_:)-(ConfigurationSource...)``.
  public func load(_ sources: [ConfigurationSource]) async throws(ContainerNetworkingError) {
    try await load(sources, from: nil)
  }

  /// - Parameter contents: What the directory holds; `nil`: it is read.
  func load(
    _ sources: [ConfigurationSource], from contents: ConfigurationDirectory.Contents?
  ) async throws(ContainerNetworkingError) {
    let base = configuration
    let loaded: Result<NetworkingConfiguration, ContainerNetworkingError>
    do throws(RuntimeError) {
      loaded = try await runtime.blocking(operation: "load networks") { [directory] _ in
        Result { () throws(ContainerNetworkingError) in
          var configuration = base
          try configuration.load(sources) { contents ?? directory.contents }
          return configuration
        }
      }
    } catch {
      throw ContainerNetworkingError("load networks", failures: [error])
    }
    let configuration = try loaded.get()
    state.withLock {
      $0.configuration = configuration
      $0.sources = sources
    }
    for problem in configuration.problems { runtime.logger.warning("\(problem)") }
    try configuration.requireNetworks("load networks")
  }

  /// Loads again what was loaded last, from the files as they are now.
  /// - Throws: `notInitialized` if nothing has been loaded yet; otherwise as ``load(_:)-(ConfigurationSource...)``.
  public func reload() async throws(ContainerNetworkingError) {
    guard let sources = state.withLock({ $0.sources }) else { throw notInitialized("load networks again") }
    try await load(sources)
  }

  /// Whether containers can be set up now: asks every plugin by STATUS.
  /// - Throws: `notInitialized` if nothing has been loaded; `noConfiguration` if there are fewer networks than there have to
  ///   be; `notReady` with what the plugins that are not ready say.
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
    if error.kind == .pluginFailed { error.kind = .notReady }
    throw error
  }

  /// The networks, if there are enough of them.
  func ready(_ operation: String) throws(ContainerNetworkingError) -> NetworkingConfiguration {
    let (configuration, isLoaded) = state.withLock { ($0.configuration, $0.sources != nil) }
    if !isLoaded { throw notInitialized(operation) }
    try configuration.requireNetworks(operation)
    return configuration
  }

  private func notInitialized(_ operation: String) -> ContainerNetworkingError {
    ContainerNetworkingError(
      .notInitialized, operation, "no network configuration has been loaded", "call load(_:) first")
  }

  /// The default limits with another end.
  func limits(until deadline: Deadline?) -> ExecutionLimits {
    var limits = runtime.runtime.runner.limits
    limits.deadline = deadline
    return limits
  }
}

extension NetworkingConfiguration {
  func requireNetworks(_ operation: String) throws(ContainerNetworkingError) {
    guard networks.count < minimumNetworkCount else { return }
    throw ContainerNetworkingError(
      .noConfiguration, operation,
      "\(minimumNetworkCount) networks have to be configured, and \(networks.count) are"
        + (networks.isEmpty ? "" : " (\(networks.map(\.name).joined(separator: ", ")))"),
      problems.isEmpty ? "put a configuration into \(configurationDirectory)" : "", problems: problems)
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
