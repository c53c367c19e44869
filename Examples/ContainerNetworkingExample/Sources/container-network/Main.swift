import ContainerNetworking
import ReferencePlugins

/// `container-network [NAMESPACE [CONFIGURATIONS [PLUGINS]]]`: gives the namespace of a container the default network of this
/// machine, shows what it got, and takes it away again.
@main struct Main {
  static func main() async throws {
    let arguments = CommandLine.arguments.dropFirst()
    let namespace = arguments.first ?? "/var/run/netns/example-ns-1"

    let networking = try ContainerNetworking(
      // One of them is the loopback interface.
      minimumNetworkCount: 2,
      configurationDirectory: arguments.dropFirst().first ?? "/etc/cni/net.d",
      // What is not there is linked in.
      pluginDirectories: [arguments.dropFirst(2).first ?? "/opt/cni/bin"],
      embedded: ReferencePlugins.all,
      interfacePrefix: "eth")
    try await networking.load(.loopback, .defaultConfiguration)

    let labels = ["K8S_POD_NAMESPACE": "namespace1", "K8S_POD_NAME": "pod1", "IgnoreUnknown": "1"]
    let result: ContainerResult
    do {
      result = try await networking.setUp(
        "example", namespace: namespace, labels: labels, timeout: .seconds(60))
    } catch {
      // Which network, which plugin, and why; nothing is left behind.
      print(error)
      throw error
    }
    print("the address of eth0 is", result.interfaces["eth0"]!.addresses[0])

    try await networking.check("example", namespace: namespace, labels: labels)
    try await networking.remove("example", namespace: namespace)
    print("removed")
  }
}
