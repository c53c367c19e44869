import NetworkAddresses

extension ForeignPortMappings {
  /// What the rules depend on besides the mappings.
  public struct Settings: Sendable {
    /// Whether what comes from the container itself, or from 127.0.0.1, is masqueraded (`snat`).
    public var masquerades: Bool
    /// Whether everything is, from wherever (`masqAll`).
    public var masqueradesAll: Bool
    /// The bit that says so meanwhile (`markMasqBit`): 0 to 31.
    public var markBit: Int
    /// A chain of somebody else's that sets a mark, and masquerades what has it (`externalSetMarkChain`).
    public var externalMarkChain: String?
    /// Words for iptables that narrow down what is mapped (`conditionsV4`).
    public var conditionsV4: [String]
    /// Words for ip6tables (`conditionsV6`).
    public var conditionsV6: [String]

    /// What the Go plugin does when nothing is said.
    public init(
      masquerades: Bool = true, masqueradesAll: Bool = false, markBit: Int = 13,
      externalMarkChain: String? = nil, conditionsV4: [String] = [], conditionsV6: [String] = []
    ) {
      self.masquerades = masquerades
      self.masqueradesAll = masqueradesAll
      self.markBit = markBit
      self.externalMarkChain = externalMarkChain
      self.conditionsV4 = conditionsV4
      self.conditionsV6 = conditionsV6
    }

    var mark: UInt32 { 1 << UInt32(truncatingIfNeeded: markBit) }
    /// Whether the common chains that mark and masquerade are needed.
    var marksItself: Bool { masquerades && externalMarkChain == nil }

    func conditions(_ family: AddressFamily) -> [String] {
      (family == .ipv4 ? conditionsV4 : conditionsV6).filter { !$0.isEmpty }
    }

    /// The built-in chains of iptables that call what is needed.
    var callers: [String] { ["PREROUTING", "OUTPUT"] + (marksItself ? ["POSTROUTING"] : []) }
  }

  /// The lines for `iptables-restore` that make what all containers share, as far as it is not there.
  static func commonRules(_ settings: Settings, unless present: CommonRules) -> [String] {
    var lines: [String] = []
    let mark = "0x" + String(settings.mark, radix: 16)
    if settings.marksItself {
      if !present.chains.contains(marking) { lines.append("-N \(marking)") }
      if !present.isMarking {
        lines.append(
          "-A \(marking) -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark \(mark)/\(mark)"
        )
      }
      if !present.chains.contains(masquerading) { lines.append("-N \(masquerading)") }
      if !present.isMasquerading {
        lines.append("-A \(masquerading) -m mark --mark \(mark)/\(mark) -j MASQUERADE")
      }
      if !present.callers[masquerading, default: []].contains("POSTROUTING") {
        // Before the masquerading of bridge and ptp, which would be the end of it.
        lines.append(
          "-I POSTROUTING 1 -m comment --comment \"CNI portfwd requiring masquerade\" -j \(masquerading)")
      }
    }
    if !present.chains.contains(entrance) { lines.append("-N \(entrance)") }
    for caller in ["PREROUTING", "OUTPUT"] where !present.callers[entrance, default: []].contains(caller) {
      lines.append("-A \(caller) -m addrtype --dst-type LOCAL -j \(entrance)")
    }
    return lines
  }

  /// The lines that make the container's chain, and lead to it. `address` comes with the length of its network.
  func containerRules(_ mappings: [PortMapping], to address: IPPrefix, _ settings: Settings) -> [String] {
    [":\(chainName) - [0:0]"] + translations(mappings, to: address, settings)
      + entries(mappings, address.family, settings)
  }

  /// Two rules that mark, and one that translates, for each port.
  private func translations(
    _ mappings: [PortMapping], to address: IPPrefix, _ settings: Settings
  ) -> [String] {
    let family = address.family
    let marker = settings.externalMarkChain.map(IPTablesBatch.quoted) ?? Self.marking
    let container = family == .ipv4 ? "\(address.address)" : "[\(address.address)]"
    var lines: [String] = []
    for mapping in mappings where mapping.serves(family) {
      var line = "-A \(chainName) -p \(mapping.transport.rawValue) --dport \(mapping.hostPort)"
      if let host = mapping.hostAddress { line += " -d \(host)" }
      if settings.masqueradesAll {
        if settings.masquerades { lines.append("\(line) -j \(marker)") }
      } else if settings.masquerades {
        lines.append("\(line) -s \(address.network) -j \(marker)")
        if family == .ipv4 { lines.append("\(line) -s 127.0.0.1 -j \(marker)") }
      }
      lines.append("\(line) -j DNAT --to-destination \(container):\(mapping.containerPort)")
    }
    return lines.withoutRepetitions
  }

  /// What leads to the container's chain: a rule for each protocol and 15 ports, for which iptables' `multiport` has
  /// room.
  private func entries(
    _ mappings: [PortMapping], _ family: AddressFamily, _ settings: Settings
  ) -> [String] {
    let conditions = settings.conditions(family).map { " " + IPTablesBatch.quoted($0) }.joined()
    return Self.ports(mappings).map { transport, ports in
      "-A \(Self.entrance) -m comment --comment \(IPTablesBatch.quoted(comment)) -m multiport -p \(transport.rawValue)"
        + " --destination-ports \(ports.map(String.init).joined(separator: ","))\(conditions) -j \(chainName)"
    }.withoutRepetitions
  }

  /// The ports by protocol, in the alphabet's order, in lists of at most 15.
  static func ports(_ mappings: [PortMapping]) -> [(PortMapping.Transport, [UInt16])] {
    PortMapping.Transport.allCases.sorted { $0.rawValue < $1.rawValue }.flatMap { transport in
      let ports = mappings.filter { $0.transport == transport }.map(\.hostPort)
      return stride(from: 0, to: ports.count, by: 15).map { start in
        (transport, Array(ports[start..<min(start + 15, ports.count)]))
      }
    }
  }
}

extension [String] {
  fileprivate var withoutRepetitions: [String] {
    var seen: Set<String> = []
    return filter { seen.insert($0).inserted }
  }
}
