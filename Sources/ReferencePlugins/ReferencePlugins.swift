import CNI
import CNIExecution
import CNIPluginKit
import Glibc
import LoopbackPlugin

/// The plugins of this package.
public enum ReferencePlugins {
  /// All of them, to be linked into their caller.
  public static let all = EmbeddedPlugins(programs.map(\.embedded))

  /// Their types, in alphabetical order.
  public static var names: [String] { programs.map(\.embedded.type) }

  /// Stand-ins for plugins in the tests of a runtime: `noop`, which is also called `debug`. They are none of ``all``, and
  /// on no node unless somebody asks for them: `ReferencePlugins.all + ReferencePlugins.testDoubles`.
  public static let testDoubles = EmbeddedPlugins(doubles.map(\.embedded))

  /// The types of the test doubles.
  public static var testDoubleNames: [String] { doubles.map(\.embedded.type) }

  /// Runs the plugin, or the test double, of that name as the program that it is; `nil` if there is none.
  ///
  /// Called by hand (without `CNI_COMMAND`), `dhcp daemon` is the daemon that the plugin dhcp needs.
  ///
  /// - Parameters:
  ///   - name: The plugin's type.
  ///   - arguments: What follows the program's name.
  ///   - version: The program's version.
  /// - Returns: The exit status.
  public static func run(
    named name: String, arguments: @autoclosure () -> [String], version: String
  ) -> Int32? {
    if name == DHCPPlugin.type, getenv("CNI_COMMAND") == nil {
      let arguments = arguments()
      if arguments.first == "daemon" {
        return DaemonMain.run(Array(arguments.dropFirst()), version: version)
      }
    }
    return program(named: name)?.run(version)
  }

  /// What is wrong with a configuration for the plugin of that type, as an ADD would find it; `nil` if nothing is, or if
  /// there is no such plugin here.
  ///
  /// - Parameters:
  ///   - configuration: What the plugin would get on standard input.
  ///   - type: The plugin's type.
  ///   - keys: Takes note of the keys that the plugin asks for.
  public static func problem(
    in configuration: JSONValue, for type: String, recording keys: KeyRecord? = nil
  ) -> CNIError? {
    program(named: type)?.problem(configuration, keys)
  }

  private static func program(named name: String) -> Program? {
    programs.first { $0.embedded.type == name } ?? doubles.first { $0.embedded.type == name }
  }

  private struct Program: Sendable {
    let embedded: EmbeddedPlugin
    let problem: @Sendable (JSONValue, KeyRecord?) -> CNIError?
    let run: @Sendable (_ version: String) -> Int32

    init<P: Plugin>(_ plugin: P.Type) {
      embedded = EmbeddedPlugin(plugin)
      problem = { plugin.problem(in: $0, recording: $1) }
      run = { PluginMain.run(plugin, embedded: ReferencePlugins.all, version: $0) }
    }

    /// The test double under one of its names.
    init(noop type: String) {
      embedded = Noop.embedded(as: type)
      // Tests may put into its configuration what they like: no key is one too many.
      problem = { configuration, _ in Noop.problem(in: configuration) }
      run = { Noop.run(as: type, version: $0) }
    }
  }

  private static let programs = [
    Program(Bandwidth.self),
    Program(Bridge.self),
    Program(DHCPPlugin.self),
    Program(Dummy.self),
    Program(Firewall.self),
    Program(Flannel.self),
    Program(HostDevice.self),
    Program(HostLocal.self),
    Program(IPVlan.self),
    Program(Loopback.self),
    Program(Macvlan.self),
    Program(PortMap.self),
    Program(PTP.self),
    Program(SBR.self),
    Program(Static.self),
    Program(Tap.self),
    Program(Tuning.self),
    Program(VLAN.self),
    Program(VRF.self),
  ]

  private static let doubles = Noop.types.map { Program(noop: $0) }
}
