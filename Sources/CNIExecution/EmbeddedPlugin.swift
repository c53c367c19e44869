/// A plugin that is linked into this executable: its whole life as a function. It gives the same bytes that its process
/// would give.
public struct EmbeddedPlugin: Sendable {
  /// The type by which configurations name it.
  public let type: String
  /// Whether it runs on a thread of its own. A plugin that changes the namespace, the signal mask or anything else of its
  /// thread needs one; one that does not (address management, say) is faster without.
  public let needsOwnThread: Bool
  /// Answers one request.
  public let run: @Sendable (PluginRequest, PluginEnvironment) -> PluginReply

  /// A plugin as a function.
  public init(
    type: String, needsOwnThread: Bool = true,
    run: @escaping @Sendable (PluginRequest, PluginEnvironment) -> PluginReply
  ) {
    self.type = type
    self.needsOwnThread = needsOwnThread
    self.run = run
  }
}

/// What surrounds a plugin that runs in-process.
public struct PluginEnvironment: Sendable {
  /// Runs the plugins that it delegates to, with the same embedded plugins and within the same limits.
  public var runner: PluginRunner

  /// An environment in which `runner` runs delegates.
  public init(runner: PluginRunner) {
    self.runner = runner
  }

  /// The plugins that need no file.
  public var embedded: EmbeddedPlugins { runner.embedded }
  /// How long it may take, and who may stop it. Nobody can end a thread from outside: a plugin that waits for something
  /// looks here.
  public var limits: ExecutionLimits { runner.limits }
}

/// The plugins that are linked into this executable, by type.
public struct EmbeddedPlugins: Sendable {
  private var plugins: [EmbeddedPlugin]

  /// These plugins; of two with the same type the first counts.
  public init(_ plugins: [EmbeddedPlugin] = []) {
    self.plugins = plugins
  }

  /// No plugin at all.
  public static let none = EmbeddedPlugins()

  /// The plugin of that type.
  public subscript(type: String) -> EmbeddedPlugin? {
    plugins.first { $0.type == type }
  }

  /// All plugins of both; of two with the same type the first counts.
  public static func + (first: EmbeddedPlugins, second: EmbeddedPlugins) -> EmbeddedPlugins {
    EmbeddedPlugins(first.plugins + second.plugins)
  }

  /// Each of them changed: to run something around it, say.
  public func map(_ transform: (EmbeddedPlugin) -> EmbeddedPlugin) -> EmbeddedPlugins {
    EmbeddedPlugins(plugins.map(transform))
  }

  /// All types, in the order given.
  public var types: [String] { plugins.map(\.type) }
  /// Whether there is none.
  public var isEmpty: Bool { plugins.isEmpty }
}
