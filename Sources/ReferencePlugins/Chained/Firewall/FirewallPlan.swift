import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// Who has to be told, on this host, that a container's packets may pass.
///
/// A packet passes only if all who look at it agree. A table of our own is heard, but cannot overrule others: where the
/// host's rules live in iptables, its chain `FORWARD` has the last word, and where firewalld runs, its zones have.
struct FirewallPlan {
  /// Whether the kernel has nf_tables, where our own table is, and where we note whose an address is.
  var hasNFTables = false
  /// The tables of iptables to put rules into.
  var forms: [AddressFamily: Set<IPTablesTable.Form>] = [:]
  /// Whether a zone of firewalld is to have the addresses.
  var usesFirewalld = false
  /// What an administrator has to know.
  var warnings: [String] = []

  /// What `backend` asks for, or else what the host needs.
  ///
  /// - Parameter families: Of the container's addresses.
  /// - Throws: `CNIError` if nf_tables is asked for and not there.
  init(
    _ configuration: FirewallConfiguration, families: [AddressFamily]
  ) throws {
    let asksIPTables = configuration.backend == nil || configuration.backend == .iptables
    var isManagedByFirewalld = false
    try PacketFilter.ifAvailable { socket in
      _ = try socket.generation()
      hasNFTables = true
      if configuration.backend == nil { isManagedByFirewalld = try Self.hasTableOfFirewalld(&socket) }
      if asksIPTables {
        for family in families { forms[family] = try Self.forms(configuration, family, &socket) }
      }
    }
    switch configuration.backend {
    case .nftables:
      if !hasNFTables { try PacketFilter.checkAvailability(otherwise: "set \"backend\" to iptables") }
      warnings = try Self.policies(families)
    case .firewalld:
      usesFirewalld = true
      warnings = try Self.policies(families)
    case .iptables, nil:
      for family in families where forms[family, default: []].isEmpty {
        if configuration.backend == .iptables || !hasNFTables {
          forms[family] = [hasNFTables ? IPTables(family).formOfPlainProgram : .legacy]
        }
      }
      if isManagedByFirewalld {
        usesFirewalld = FirewalldZone.isRunning
        if !usesFirewalld {
          warnings.append(
            "there is a table \"inet firewalld\", which may drop what is forwarded, but firewalld cannot be reached"
          )
        }
      }
    }
  }

  /// Whether our own table has to police bridges: iptables does not for all families.
  func polices(_ families: [AddressFamily]) -> Bool {
    hasNFTables && families.contains { forms[$0, default: []].isEmpty }
  }

  /// Whether firewalld keeps rules of its own in nf_tables.
  ///
  /// While it reloads there is the second of these tables, which lets nothing new through, and for a part of that time
  /// not the first.
  static func hasTableOfFirewalld(_ socket: inout NetfilterSocket) throws(NetlinkError) -> Bool {
    for name in ["firewalld", "firewalld_policy_drop"] {
      let table = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.table(.inet, name) }
      if table != nil { return true }
    }
    return false
  }

  /// The tables that have rules of somebody's own for what is forwarded, also in the administrator's chain.
  private static func forms(
    _ configuration: FirewallConfiguration, _ family: AddressFamily, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> Set<IPTablesTable.Form> {
    let table = IPTablesTable(.filter, family)
    var forms = try table.formsInUse(chains: ["FORWARD"], &socket)
    // Bridges that the Go plugins keep apart know of ours only through their chains.
    let others =
      [configuration.adminChain] + (configuration.ingressPolicy == .open ? [] : IPTablesFirewall.stages)
    for form in IPTablesTable.Form.allCases where !forms.contains(form) {
      if try table.chains(others, in: form, &socket).values.contains(where: { !$0.rules.isEmpty }) {
        forms.insert(form)
      }
    }
    return forms
  }

  /// What the policies of iptables say against a back end that does not ask iptables.
  static func policies(_ families: [AddressFamily]) throws -> [String] {
    var warnings: [String] = []
    for family in families {
      let table = IPTablesTable(.filter, family)
      for form in IPTablesTable.Form.allCases {
        try PacketFilter.ifAvailable { socket in
          guard try table.chains(["FORWARD"], in: form, &socket)["FORWARD"]?.policy == .drop else { return }
          warnings.append(
            "chain FORWARD of \(family == .ipv4 ? "iptables" : "ip6tables") (\(form.rawValue)) drops what no rule of "
              + "its own accepts")
        }
      }
    }
    return warnings
  }
}
