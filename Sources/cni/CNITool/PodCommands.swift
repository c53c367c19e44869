import CNI
import CNIRuntime
import NetworkAddresses
import PodNetworking
import ReferencePlugins

/// `pod add`, `pod status`, `pod del`, `pod gc`: all networks of a pod at once. The words that say which pod stand in the
/// order in which ocicnitool takes them.
enum PodCommands {
  static let all = [add, status, delete, collectGarbage]

  private static let networks = Arguments.Option(
    "--networks", "-networks", "-n", value: "NAME[:IFNAME],…",
    help: "the networks, and what their interfaces are called (default: the default network; eth0, eth1, …)")
  private static let uid = Arguments.Option("--uid", value: "UID", help: "the pod's UID")
  private static let defaultNetwork = Arguments.Option(
    "--default", value: "NAME", help: "the default network (default: the first of NETCONFPATH)")
  private static let address = Arguments.Option(
    "--ip", value: "ADDRESS", help: "the address in the first network (default: any)")
  private static let hardwareAddress = Arguments.Option(
    "--mac", value: "ADDRESS", help: "the MAC address in the first network (default: any)")
  private static let allNetworks = Arguments.Option(
    "--all-networks", help: "also of networks that NETCONFPATH does not have")
  private static let timeout = Arguments.Option(
    "--timeout", value: "SECONDS", help: "how long it may take (default: as long as it takes)")
  private static let keep = Arguments.Option(
    "--keep", value: "ID", help: "the ID of a pod that is to stay; may be repeated")

  private static let add = CNITool.Subcommand(
    name: "pod add", usage: "pod add NAMESPACE NAME ID NETNS",
    summary: "Attach a pod to all its networks; prints what it has", words: 4,
    discussion: """
      Brings the loopback interface up and attaches the networks one after the other. When one fails, those before it are
      detached again: after an error there is nothing to delete, unless it says so. CAP_ARGS and CNI_ARGS are for all networks.
      Plugins are looked for in /opt/cni/bin if CNI_PATH does not say where. A network of which one is missing is not taken for
      the default network, and that is told.
      """,
    options: [
      networks, address, hardwareAddress, uid, defaultNetwork, CNITool.cache, timeout, CNITool.output,
    ]
  ) { arguments in
    var pod = try pod(arguments)
    pod.networks = try withWishes(pod.networks, arguments)
    guard !pod.networkNamespace.isEmpty else {
      throw UsageError(message: "the path of the pod's network namespace is needed")
    }
    let (networking, time) = try networking(arguments)
    let attachments = try Blocking.wait { [pod] in try await networking.setUp(pod, within: time) }
    do { try show(attachments, arguments) } catch {
      Terminal.complain("cnitool pod add: the pod is attached, and stays so until `cnitool pod del`")
      throw error
    }
    return 0
  }

  private static let status = CNITool.Subcommand(
    name: "pod status", usage: "pod status NAMESPACE NAME ID NETNS",
    summary: "Say whether a pod is still attached as it was; prints what it has", words: 4,
    discussion: """
      Asks the plugins (CHECK) of every network that is remembered of the pod, or of those that are given. Where nothing is
      remembered, it shows what is in the namespace.
      """,
    options: [networks, defaultNetwork, CNITool.cache, timeout, CNITool.output]
  ) { arguments in
    let pod = try pod(arguments)
    let (networking, time) = try networking(arguments)
    try show(Blocking.wait { try await networking.status(of: pod, within: time) }, arguments)
    return 0
  }

  private static let delete = CNITool.Subcommand(
    name: "pod del", usage: "pod del NAMESPACE NAME ID [NETNS]",
    summary: "Detach a pod from all its networks; once more does no harm", words: 4,
    discussion: """
      Detaches what is remembered of the pod, or the networks that are given, by the configurations that it was attached with.
      Works when those have changed or gone, and when the namespace is gone.
      """,
    options: [networks, defaultNetwork, CNITool.cache, timeout, CNITool.output]
  ) { arguments in
    let pod = try pod(arguments)
    let (networking, time) = try networking(arguments)
    try Blocking.wait { try await networking.tearDown(pod, within: time) }
    if arguments["--output"] == "json" { try Terminal.print(.array([])) }
    return 0
  }

  private static let collectGarbage = CNITool.Subcommand(
    name: "pod gc", usage: "pod gc [--keep ID]… [--all-networks]",
    summary: "Remove what belongs to no pod that is to stay, in all networks of NETCONFPATH", words: 0,
    discussion: """
      Attachments to these networks that --cache-dir remembers of other pods are deleted, whoever has made them; then every plugin
      is asked to remove what belongs to attachments that no longer exist. Without --keep nothing stays. With --all-networks
      that goes for everything that --cache-dir remembers: /var/lib/cni is shared by all who use the Go library, such as nerdctl
      and podman, and what is theirs is removed as well.
      """,
    options: [keep, allNetworks, defaultNetwork, CNITool.cache, timeout, CNITool.output]
  ) { arguments in
    let valid = arguments.all("--keep").map { Pod(id: $0, name: "", namespace: "") }
    let (networking, time) = try networking(arguments)
    try Blocking.wait { try await networking.collectGarbage(keeping: valid, within: time) }
    if arguments["--output"] == "json" { try Terminal.print(.array([])) }
    return 0
  }

  // MARK: - The command line

  private static func pod(_ arguments: Arguments) throws -> Pod {
    let words = arguments.positional
    guard words.count >= 3 else {
      throw UsageError(message: "the pod's namespace, its name, and the ID of its sandbox are needed")
    }
    let selections = try (arguments["--networks"] ?? "").split(separator: ",").map { word in
      let parts = word.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }) else {
        throw UsageError(
          message: "--networks takes NAME or NAME:IFNAME with commas between them, not \(word)")
      }
      return NetworkSelection(parts[0], interfaceName: parts.count > 1 ? parts[1] : nil)
    }
    return Pod(
      id: words[2], name: words[1], namespace: words[0], uid: arguments["--uid"] ?? "",
      networkNamespace: words.count > 3 ? Surroundings.absolute(words[3]) : "", networks: selections,
      arguments: try CNIArguments(parsing: Surroundings.variable("CNI_ARGS") ?? ""))
  }

  /// The selections with what is wanted of them; without any the default network with that.
  private static func withWishes(
    _ networks: [NetworkSelection], _ arguments: Arguments
  ) throws -> [NetworkSelection] {
    var selections = networks.isEmpty ? [NetworkSelection()] : networks
    let capabilities = try Surroundings.capabilities().map { Capability($0.key, $0.value) }
    for index in selections.indices { selections[index].capabilities = capabilities }
    if let text = arguments["--ip"] {
      guard let address = IPAddress(text) else { throw UsageError(message: "\(text) is no IP address") }
      selections[0].ipAddress = address
    }
    if let text = arguments["--mac"] {
      guard let address = MACAddress(text) else { throw UsageError(message: "\(text) is no MAC address") }
      selections[0].macAddress = address
    }
    return selections
  }

  private static func networking(_ arguments: Arguments) throws -> (PodNetworking, Duration?) {
    var time: Duration?
    if let text = arguments["--timeout"] {
      guard let seconds = Double(text), seconds > 0, seconds < 1e9 else {
        throw UsageError(message: "--timeout takes a number of seconds, not \(text)")
      }
      time = .milliseconds(Int64(seconds * 1000))
    }
    let surroundings = Surroundings(arguments)
    var options = PodNetworking.Options()
    options.configurationDirectory = surroundings.directory.path
    options.configurationMode = .onUse
    options.defaultNetwork = arguments["--default"]
    // Where the node's container manager has them: with others cnitool might take another network for the default one.
    if Surroundings.variable("CNI_PATH") != nil {
      options.pluginDirectories = surroundings.runtime.pluginPath
    }
    options.collectsGarbageOfUnknownNetworks = arguments.has("--all-networks")
    options.embedded = ReferencePlugins.all
    options.runsOwnExecutableInProcess = false
    options.cacheDirectory = surroundings.runtime.cache.directory
    return (PodNetworking(options), time)
  }

  // MARK: - What is shown

  private static func show(_ attachments: [PodAttachment], _ arguments: Arguments) throws {
    if arguments["--output"] == "json" {
      try Terminal.print(.array(attachments.map(json)))
      return
    }
    var rows = [["NETWORK", "INTERFACE", "MAC", "ADDRESSES"]]
    for attachment in attachments {
      rows.append([
        attachment.network, attachment.interfaceName, attachment.interface?.mac ?? "-",
        attachment.addresses.isEmpty ? "-" : attachment.addresses.map { "\($0)" }.joined(separator: ", "),
      ])
    }
    try Terminal.print(Terminal.table(rows).joined(separator: "\n"))
  }

  private static func json(_ attachment: PodAttachment) -> JSONValue {
    var object = JSONObject()
    object.append("network", .string(attachment.network))
    object.append("interface", .string(attachment.interfaceName))
    if let mac = attachment.interface?.mac { object.append("mac", .string(mac)) }
    object.append("addresses", .array(attachment.addresses.map { .string("\($0)") }))
    object.append("source", attachment.source == .plugins ? "plugins" : "namespace")
    if let result = try? attachment.result.encode(as: .latest) { object.append("result", result) }
    return .object(object)
  }
}
