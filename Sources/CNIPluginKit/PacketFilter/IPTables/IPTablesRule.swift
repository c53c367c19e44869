public import NetworkAddresses
public import Netlink

/// A chain of an iptables table, in whichever form.
public struct IPTablesChain: Hashable, Sendable {
  /// Its name.
  public var name: String
  /// What becomes of a packet that no rule decides about; nil for a chain that only jumps reach.
  public var policy: Chain.Policy?
  /// In order.
  public var rules: [IPTablesRule]

  /// A chain as it was read.
  public init(name: String, policy: Chain.Policy? = nil, rules: [IPTablesRule] = []) {
    self.name = name
    self.policy = policy
    self.rules = rules
  }
}

/// What can be known of a rule of iptables without knowing all its extensions.
public struct IPTablesRule: Hashable, Sendable {
  /// A condition, or its contrary (`!`).
  public struct Condition<Value: Hashable & Sendable>: Hashable, Sendable {
    /// What is asked for.
    public var value: Value
    /// Whether it must not be so.
    public var isInverted: Bool

    /// A condition.
    public init(_ value: Value, isInverted: Bool = false) {
      self.value = value
      self.isInverted = isInverted
    }
  }

  /// What is done (`-j`, `-g`).
  public enum Target: Hashable, Sendable {
    /// The packet goes on.
    case accept
    /// The packet is gone.
    case drop
    /// Back to the calling chain.
    case `return`
    /// On to a chain, and back.
    case jump(String)
    /// On to a chain, for good.
    case goto(String)
    /// Something else, by name: `MASQUERADE`. Empty if the rule only counts.
    case other(String)

    /// The chain that is jumped or gone to.
    public var chain: String? {
      switch self {
      case .jump(let chain), .goto(let chain): chain
      default: nil
      }
    }
  }

  /// `-s`.
  public var source: Condition<IPPrefix>?
  /// `-d`.
  public var destination: Condition<IPPrefix>?
  /// `-i`; a name that ends with `+` stands for all that begin so.
  public var inputInterface: Condition<String>?
  /// `-o`.
  public var outputInterface: Condition<String>?
  /// `-m comment --comment`.
  public var comment: String?
  /// Whether there are conditions beyond those above.
  public var hasOtherConditions: Bool
  /// What is done.
  public var target: Target
  /// Its number in nf_tables, by which it is deleted; nil in the legacy form.
  public var handle: UInt64?

  /// A rule as it looks without the numbers it is counted and found by.
  public init(
    source: Condition<IPPrefix>? = nil, destination: Condition<IPPrefix>? = nil,
    inputInterface: Condition<String>? = nil, outputInterface: Condition<String>? = nil,
    comment: String? = nil, hasOtherConditions: Bool = false, target: Target
  ) {
    self.source = source
    self.destination = destination
    self.inputInterface = inputInterface
    self.outputInterface = outputInterface
    self.comment = comment
    self.hasOtherConditions = hasOtherConditions
    self.target = target
  }
}

// MARK: - From nf_tables

extension IPTablesRule {
  /// A rule of nf_tables that iptables-nft has made.
  public init(_ rule: Rule) {
    self.init(comment: rule.comment ?? rule.extensionComments.first, target: .other(""))
    handle = rule.handle
    for statement in rule.statements {
      switch statement {
      case .match(let field, let relation, let operand):
        if !take(field, operand, isInverted: relation == .notEqual) { hasOtherConditions = true }
      case .verdict(let verdict): target = Target(verdict)
      case .count: break
      case .masqueraded: target = .other("MASQUERADE")
      case .raw(.xtables(let expression)):
        if expression.isTarget {
          target = .other(expression.name)
        } else if expression.comment == nil {
          hasOtherConditions = true
        }
      default: hasOtherConditions = true
      }
    }
  }

  private mutating func take(_ field: Selector, _ operand: Statement.Operand, isInverted: Bool) -> Bool {
    switch (field, operand) {
    case (.ipSource, _), (.ip6Source, _):
      guard let prefix = operand.prefix else { return false }
      source = Condition(prefix, isInverted: isInverted)
    case (.ipDestination, _), (.ip6Destination, _):
      guard let prefix = operand.prefix else { return false }
      destination = Condition(prefix, isInverted: isInverted)
    case (.inputInterface, _):
      guard let name = operand.interfaceName else { return false }
      inputInterface = Condition(name, isInverted: isInverted)
    case (.outputInterface, _):
      guard let name = operand.interfaceName else { return false }
      outputInterface = Condition(name, isInverted: isInverted)
    default: return false
    }
    return true
  }
}

extension Statement.Operand {
  fileprivate var prefix: IPPrefix? {
    switch self {
    case .prefix(let prefix): prefix
    case .value(.ipv4(let address)): .host(.v4(address))
    case .value(.ipv6(let address)): .host(.v6(address))
    default: nil
    }
  }

  fileprivate var interfaceName: String? {
    switch self {
    case .value(.interface(let name)): name
    // iptables-nft compares a name up to its terminating zero, and the beginning of names without one.
    case .interfacePrefix(let name): name.utf8.last == 0 ? String(name.dropLast()) : name + "+"
    default: nil
    }
  }
}

extension IPTablesRule.Target {
  init(_ verdict: Verdict) {
    switch verdict {
    case .accept: self = .accept
    case .drop: self = .drop
    case .return: self = .return
    case .jump(let chain): self = .jump(chain)
    case .goto(let chain): self = .goto(chain)
    case .proceed, .other: self = .other("")
    }
  }
}
