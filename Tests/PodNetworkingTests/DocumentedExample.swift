// The example of Documentation/pod-networking.md, with the imports that it has: it is compared with the document.
import CNI
import NetworkAddresses
import PodNetworking
import ReferencePlugins

func documentedExample(_ networking: PodNetworking) async throws -> [String] {
  var lines: [String] = []
  func print(_ words: Any...) { lines.append(words.map { "\($0)" }.joined(separator: " ")) }

  // MARK: The document
  var pod = Pod(
    id: "6a0d47c2", name: "web", namespace: "default", uid: "0c1e…", networkNamespace: "/run/netns/6a0d47c2")
  pod.networks = [
    NetworkSelection(  // the default network, as eth0
      ipAddress: IPAddress("10.88.0.7"),
      capabilities: [.portMappings([.init(hostPort: 8080, containerPort: 80)])]),
    NetworkSelection("storage", interfaceName: "net1"),
  ]
  for attachment in try await networking.setUp(pod) {
    print(attachment.network, attachment.interfaceName, attachment.addresses)
  }
  try await networking.status(of: pod)  // throws if something has changed
  try await networking.tearDown(pod)
  await networking.shutDown()
  // MARK: Its end
  return lines
}

func documentedOptions() -> PodNetworking.Options {
  // MARK: Its options
  var options = PodNetworking.Options()  // /etc/cni/net.d, /opt/cni/bin, /var/lib/cni
  options.embedded = ReferencePlugins.all  // for plugins that are not in /opt/cni/bin
  // MARK: End of its options
  return options
}
