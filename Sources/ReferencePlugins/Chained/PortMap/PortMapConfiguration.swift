import CNI
import CNIPluginKit

/// The keys of the `portmap` plugin's configuration.
struct PortMapConfiguration: Sendable {
  /// Who keeps the rules (`backend`).
  enum Backend: String, Sendable, CaseIterable {
    /// The kernel's nf_tables, spoken to directly, in a table of ours.
    case nftables
    /// The form of the Go plugin, through `iptables-restore`.
    case iptables
  }

  /// `backend`, or the one whose words are used elsewhere; nil: whoever keeps the host's own rules.
  var backend: Backend?
  /// `snat`: what comes from the host's loopback address or from the container's own subnet gets another source, without
  /// which the answer would not find its way.
  var translatesSource = true
  /// `masqAll`: all that comes gets another source.
  var masqueradesAll = false
  /// `markMasqBit`: the bit of the packet mark that the iptables form uses for this.
  var markBit = 13
  /// `externalSetMarkChain`: the chain of somebody else's that sets such a mark, instead.
  var setMarkChain: String?
  /// `conditionsV4` and `conditionsV6`, as they were written.
  var conditionsV4: [String] = []
  var conditionsV6: [String] = []
  /// The same, understood; `nil` where that is not needed, or does not work at a command that only removes.
  var conditions: MappingConditions?
  /// `runtimeConfig.portMappings`; `nil` where they cannot be read at a command that only removes.
  var mappings: [PortMapping]?

  init(_ call: PluginCall) throws(CNIError) {
    // Neither GC nor DEL may fail because of a mistake in what they hardly need.
    guard call.onlyRemoves else {
      try read(call)
      mappings = try call.portMappings()
      return
    }
    do { try read(call) } catch { conditions = nil }
    do { mappings = try call.portMappings() } catch { mappings = nil }
  }

  private mutating func read(_ call: PluginCall) throws(CNIError) {
    let keys = try call.configuration.object()
    translatesSource = try keys.bool("snat") ?? true
    masqueradesAll = try keys.flag("masqAll")
    let bit = try keys.integer("markMasqBit", in: 0...31)
    setMarkChain = try keys.string("externalSetMarkChain")
    if let setMarkChain {
      if bit != nil {
        throw keys.failure(
          "markMasqBit", "contradicts externalSetMarkChain, which sets the mark instead",
          remedy: "leave one of the two out")
      }
      guard setMarkChain.utf8.count <= 28, setMarkChain.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
        throw keys.failure(
          "externalSetMarkChain", "is no name of an iptables chain",
          remedy: "write one of at most 28 characters, for example KUBE-MARK-MASQ")
      }
    }
    markBit = bit ?? markBit
    conditionsV4 = try keys.strings("conditionsV4")
    conditionsV6 = try keys.strings("conditionsV6")

    let choice: Backend? = try keys.choice("backend")
    if choice == .nftables, setMarkChain != nil {
      throw keys.failure(
        "externalSetMarkChain", "names a chain of iptables, and backend asks for nftables",
        remedy: "leave one of the two out")
    }
    let needsIPTables =
      setMarkChain != nil || MappingConditions.needIPTables(conditionsV4, family: .ipv4)
      || MappingConditions.needIPTables(conditionsV6, family: .ipv6)
    let speaksNFT = [conditionsV4, conditionsV6].contains { texts in
      texts.first { !$0.isEmpty }.map { !MappingConditions.isOfIPTables($0) } ?? false
    }
    backend = choice ?? (needsIPTables ? .iptables : speaksNFT ? .nftables : nil)
    guard backend != .iptables else {
      for key in ["conditionsV4", "conditionsV6"] {
        if let first = try keys.strings(key).first(where: { !$0.isEmpty }),
          !MappingConditions.isOfIPTables(first)
        {
          throw keys.failure(
            key, "begins with \"\(first)\", which iptables does not understand",
            remedy:
              "write it as for iptables, for example [\"-s\", \"10.0.0.0/8\"], or set backend to nftables")
        }
      }
      return
    }
    conditions = MappingConditions(
      ipv4: try MappingConditions.parse(conditionsV4, family: .ipv4, key: "conditionsV4", of: keys),
      ipv6: try MappingConditions.parse(conditionsV6, family: .ipv6, key: "conditionsV6", of: keys))
  }
}
