import CNI
import CNIPluginKit

/// What a configuration of type firewall says.
struct FirewallConfiguration: Sendable {
  /// Who is told that the container's packets may pass (`backend`).
  enum Backend: String, Sendable, CaseIterable {
    /// The kernel's nf_tables, in a table of our own.
    case nftables
    /// The table `filter` of iptables, with the chains of the Go plugins.
    case iptables
    /// A zone of firewalld.
    case firewalld
  }

  /// Who may begin a connection to the container (`ingressPolicy`).
  enum IngressPolicy: String, Sendable, CaseIterable {
    /// Everybody.
    case open
    /// Not those behind other bridges that have a policy, too.
    case sameBridge = "same-bridge"
    /// Nor those behind the container's own bridge.
    case isolated
  }

  /// Nil: whoever has to be told on this host.
  var backend: Backend?
  /// The chain of the table `filter` in which an administrator's own rules come first.
  var adminChain: String
  /// The zone of firewalld that the addresses come into.
  var zone: String
  var ingressPolicy: IngressPolicy

  init(_ call: PluginCall) throws(CNIError) {
    let keys = try call.configuration.object()
    // What cannot be read any more must not keep anything from being removed.
    if call.onlyRemoves {
      backend = try? keys.choice("backend")
      adminChain = (try? keys.string("iptablesAdminChainName")) ?? Self.defaultAdminChain
      zone = (try? keys.string("firewalldZone")) ?? Self.defaultZone
      ingressPolicy = (try? keys.choice("ingressPolicy")) ?? .open
      return
    }
    backend = try keys.choice("backend")
    adminChain = try keys.string("iptablesAdminChainName") ?? Self.defaultAdminChain
    if let reason = Self.unusable(chain: adminChain) {
      throw keys.failure(
        "iptablesAdminChainName", reason,
        remedy:
          "use a name of your own of at most 28 letters, digits, \"-\", \"_\" and \".\", such as CNI-ADMIN")
    }
    zone = try keys.string("firewalldZone") ?? Self.defaultZone
    ingressPolicy = try keys.choice("ingressPolicy") ?? .open
  }

  private static let defaultAdminChain = "CNI-ADMIN"
  private static let defaultZone = "trusted"

  /// Names that iptables has a meaning for, and those of the chains that we empty ourselves.
  private static let reserved: Set<String> = [
    "INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING", "ACCEPT", "DROP", "RETURN", "QUEUE", "REJECT",
    "LOG",
    "MARK", "ERROR",
  ]

  /// Why a chain cannot be called so: iptables gives names 28 bytes, and our input to it has lines and words.
  private static func unusable(chain: String) -> String? {
    if reserved.contains(chain) || chain == IPTablesFirewall.chain || IPTablesFirewall.stages.contains(chain)
    {
      return "\(chain) has another meaning"
    }
    let letters = chain.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        true
      default: false
      }
    }
    if !letters || chain.utf8.first == UInt8(ascii: "-") || chain.utf8.count > 28 {
      return "\"\(chain)\" is not a name for a chain"
    }
    return nil
  }
}
