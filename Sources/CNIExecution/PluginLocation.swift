import CNI
import Glibc

/// Where a plugin is.
public enum PluginLocation: Sendable, Hashable {
  /// An executable file.
  case file(String)
  /// In this executable.
  case embedded
}

/// A search for an executable file along `CNI_PATH`.
struct PluginSearch {
  /// The first regular file of that name that somebody may execute.
  var found: String?
  /// Whether that file is this very executable (another hard link to it, say).
  var isOwnExecutable = false
  /// Files of the right name that cannot be executed.
  var passedOver: [String] = []

  /// Looks for `type`, which has been validated, in each directory. Empty entries are skipped: the working directory is
  /// no place to take a privileged program from by accident.
  init(_ type: String, in path: [String]) {
    for directory in path where !directory.isEmpty {
      let candidate = directory.hasSuffix("/") ? directory + type : "\(directory)/\(type)"
      var status = stat()
      guard stat(candidate, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
      guard status.st_mode & 0o111 != 0 else {
        passedOver.append(candidate)
        continue
      }
      found = candidate
      isOwnExecutable = OwnExecutable.identity.map { $0 == (status.st_dev, status.st_ino) } ?? false
      return
    }
  }
}

/// The file that this process runs.
enum OwnExecutable {
  static let identity: (dev_t, ino_t)? = {
    var status = stat()
    return stat("/proc/self/exe", &status) == 0 ? (status.st_dev, status.st_ino) : nil
  }()
}

/// Who brings a plugin that is missing.
func provider(ofPlugin type: String) -> String {
  switch type {
  case "bridge", "ptp", "macvlan", "ipvlan", "vlan", "host-device", "dummy", "loopback", "tap", "host-local",
    "static",
    "dhcp", "portmap", "firewall", "bandwidth", "tuning", "sbr", "vrf":
    "it is one of the reference plugins (swift-cni, or a containernetworking-plugins package)"
  case "noop", "debug": "it is a test double of swift-cni (make install TEST_PLUGINS=1)"
  case "flannel": "it comes with flannel (github.com/flannel-io/cni-plugin)"
  case "calico", "calico-ipam": "it comes with Calico, whose node agent installs it"
  case "cilium-cni": "it comes with Cilium, whose agent installs it"
  case "multus", "multus-shim": "it comes with Multus (k8snetworkplumbingwg/multus-cni)"
  case "whereabouts": "it comes with k8snetworkplumbingwg/whereabouts"
  case "weave-net", "weave-ipam": "it comes with Weave Net"
  case "ovn-k8s-cni-overlay": "it comes with OVN-Kubernetes"
  case "antrea": "it comes with Antrea, whose agent installs it"
  case "dnsname": "it comes with podman's dnsname plugin"
  default: "install it there, or correct the \"type\" in the configuration"
  }
}
