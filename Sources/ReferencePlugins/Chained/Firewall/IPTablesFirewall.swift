import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// The firewall in the table `filter` of iptables, as the Go plugins lay it out, for one family.
///
/// ```
/// -A FORWARD -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)" -j CNI-ISOLATION-STAGE-1
/// -A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
/// -A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
/// -A CNI-FORWARD -d 10.22.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
/// -A CNI-FORWARD -s 10.22.0.5/32 -j ACCEPT
/// -A CNI-ISOLATION-STAGE-1 -i cni0 -o cni0 -m comment --comment "… (ingressPolicy: isolated)" -j DROP
/// -A CNI-ISOLATION-STAGE-1 -i cni0 ! -o cni0 -m comment --comment "…" -j CNI-ISOLATION-STAGE-2
/// -A CNI-ISOLATION-STAGE-1 -m comment --comment "…" -j RETURN
/// -A CNI-ISOLATION-STAGE-2 -o cni0 -m comment --comment "…" -j DROP
/// -A CNI-ISOLATION-STAGE-2 -m comment --comment "…" -j RETURN
/// ```
struct IPTablesFirewall: Sendable {
  let family: AddressFamily
  let adminChain: String

  static let chain = "CNI-FORWARD"
  static let stages = ["CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"]
  static let forward = "FORWARD"

  var table: IPTablesTable { IPTablesTable(.filter, family) }

  /// An ingress policy, with what it is about.
  struct Policy: Hashable, Sendable {
    /// The bridge.
    var bridge: String
    /// Whether its own containers do not reach each other either.
    var isIsolated: Bool
  }

  /// The chains that matter here, as they are.
  typealias State = [String: IPTablesChain]

  /// All of one moment.
  private func state(_ form: IPTablesTable.Form) throws(NetlinkError) -> State {
    let names = [Self.forward, Self.chain, adminChain] + Self.stages
    if form == .legacy { return try table.chains(names, in: form) }
    var socket = try NetfilterSocket()
    var state: State = [:]
    for _ in 0..<100 {
      let generation = try socket.generation()
      state = try table.chains(names, in: form, &socket)
      if try socket.generation() == generation { break }
    }
    return state
  }

  /// Keeps other processes of ours from adding the same rule between our look and our change: iptables adds a rule as
  /// often as it is told to. Those who cannot have it go on without, as the Go plugins do.
  private static func lock() -> FileLock? {
    let directory = "/run/cni"
    try? StateFile.createDirectories(directory, mode: 0o700)
    return try? FileLock(path: directory + "/firewall.lock", wait: .atMost(.seconds(20)))
  }

  // MARK: Rules

  /// A rule, as iptables takes it and as it reads back.
  struct Line {
    var text: String
    var rule: IPTablesRule

    /// Comments have changed from one version of the Go plugins to the next; what a rule does has not.
    func isPresent(in chain: IPTablesChain?) -> Bool {
      chain?.rules.contains {
        var found = $0
        found.comment = rule.comment
        return found.isLike(rule)
      } ?? false
    }
  }

  static func jump(to chain: String, comment: String) -> Line {
    commented(IPTablesRule(target: .jump(chain)), "-j \(chain)", comment)
  }

  private static func commented(_ rule: IPTablesRule, _ text: String, _ comment: String) -> Line {
    var rule = rule
    rule.comment = comment
    return Line(text: "\(text) -m comment --comment \(IPTablesBatch.quoted(comment))", rule: rule)
  }

  private static let entrance = jump(to: chain, comment: "CNI firewall plugin rules")
  private var administration: Line {
    Self.jump(to: adminChain, comment: "CNI firewall plugin admin overrides")
  }

  /// What lets the packets of an address pass.
  static func lines(for address: IPAddress) -> [Line] {
    let prefix = IPPrefix.host(address)
    return [
      Line(
        text: "-d \(prefix) -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        rule: IPTablesRule(destination: .init(prefix), hasOtherConditions: true, target: .accept)),
      Line(text: "-s \(prefix) -j ACCEPT", rule: IPTablesRule(source: .init(prefix), target: .accept)),
    ]
  }

  private static let anyPolicy = "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)"

  private static let isolation = jump(to: stages[0], comment: anyPolicy)
  private static let end = commented(IPTablesRule(target: .return), "-j RETURN", anyPolicy)

  /// From the bridge to another one: asked again in the second stage.
  private static func leaving(_ policy: Policy) -> Line {
    let rule = IPTablesRule(
      inputInterface: .init(policy.bridge), outputInterface: .init(policy.bridge, isInverted: true),
      target: .jump(stages[1]))
    return commented(rule, "-i \(policy.bridge) ! -o \(policy.bridge) -j \(stages[1])", comment(policy))
  }
  /// From the bridge back to it.
  private static func staying(_ policy: Policy) -> Line {
    let rule = IPTablesRule(
      inputInterface: .init(policy.bridge), outputInterface: .init(policy.bridge), target: .drop)
    return commented(rule, "-i \(policy.bridge) -o \(policy.bridge) -j DROP", comment(policy))
  }
  private static func arriving(_ policy: Policy) -> Line {
    let rule = IPTablesRule(outputInterface: .init(policy.bridge), target: .drop)
    return commented(rule, "-o \(policy.bridge) -j DROP", anyPolicy)
  }
  private static func comment(_ policy: Policy) -> String {
    "CNI firewall plugin rules (ingressPolicy: \(policy.isIsolated ? "isolated" : "same-bridge"))"
  }

  // MARK: ADD

  /// Lets the addresses pass, and polices the bridge, in one call of `iptables-restore`, or none if all is there.
  func install(_ addresses: [IPAddress], policy: Policy?, in form: IPTablesTable.Form) throws {
    try change(form) { state in installation(of: addresses, policy: policy, state) }
  }

  private func installation(of addresses: [IPAddress], policy: Policy?, _ state: State) -> IPTablesBatch {
    var batch = IPTablesBatch()
    func insert(_ line: Line, into chain: String) {
      if !line.isPresent(in: state[chain]) { batch.insert(line.text, into: chain, of: .filter) }
    }
    func append(_ line: Line, to chain: String) {
      if !line.isPresent(in: state[chain]) { batch.append(line.text, to: chain, of: .filter) }
    }
    for name in [Self.chain, adminChain] + (policy == nil ? [] : Self.stages) where state[name] == nil {
      batch.create(name, in: .filter)
    }
    insert(Self.entrance, into: Self.forward)
    insert(administration, into: Self.chain)
    for address in addresses {
      for line in Self.lines(for: address) { append(line, to: Self.chain) }
    }
    if let policy {
      insert(Self.isolation, into: Self.forward)
      insert(Self.leaving(policy), into: Self.stages[0])
      if policy.isIsolated { insert(Self.staying(policy), into: Self.stages[0]) }
      append(Self.end, to: Self.stages[0])
      insert(Self.arriving(policy), into: Self.stages[1])
      append(Self.end, to: Self.stages[1])
    }
    return batch
  }

  /// Carries out what `prepare` makes of the table's state. Should somebody else be faster, what there is to do is
  /// another thing than before, and is tried again.
  private func change(_ form: IPTablesTable.Form, _ prepare: (State) -> IPTablesBatch) throws {
    let lock = Self.lock()
    try changeAlone(form, prepare)
    _ = consume lock
  }

  private func changeAlone(_ form: IPTablesTable.Form, _ prepare: (State) -> IPTablesBatch) throws {
    var batch = prepare(try state(form))
    for attempt in 0..<20 {
      do throws(CNIError) {
        return try IPTables(family).restore(batch, form: form)
      } catch {
        let next = prepare(try state(form))
        if next == batch || attempt == 19 { throw error }
        batch = next
      }
    }
  }

  // MARK: CHECK

  /// Throws unless every address is let through, and the bridge policed.
  func verify(_ addresses: [IPAddress], policy: Policy?, in form: IPTablesTable.Form) throws {
    let state = try state(form)
    func require(_ line: Line, in chain: String, _ what: String) throws(CNIError) {
      if line.isPresent(in: state[chain]) { return }
      let program = family == .ipv4 ? "iptables" : "ip6tables"
      throw CNIError(
        .internalError,
        "\(what): the rule \"\(line.text)\" is not in chain \(chain) of \(program) (\(form.rawValue))",
        details: "somebody has changed the firewall's rules; delete and add the attachment again")
    }
    for address in addresses {
      for line in Self.lines(for: address) {
        try require(line, in: Self.chain, "\(address) is not let through")
      }
    }
    if addresses.isEmpty { return }
    try require(Self.entrance, in: Self.forward, "\(addresses[0]) is not let through")
    try require(administration, in: Self.chain, "an administrator's rules are not heard")
    guard let policy else { return }
    let what = "\(policy.bridge) is not kept apart from others"
    try require(Self.isolation, in: Self.forward, what)
    try require(Self.leaving(policy), in: Self.stages[0], what)
    if policy.isIsolated { try require(Self.staying(policy), in: Self.stages[0], what) }
    try require(Self.arriving(policy), in: Self.stages[1], what)
  }
}

extension IPTablesRule {
  /// Whether it is the same but for the number that the kernel gave it.
  func isLike(_ other: IPTablesRule) -> Bool {
    var other = other
    other.handle = handle
    return self == other
  }
}
