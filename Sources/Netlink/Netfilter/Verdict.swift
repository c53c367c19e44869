/// What becomes of the packet, or which chain decides next (`enum nft_verdicts`).
public enum Verdict: Hashable, Sendable, CustomStringConvertible {
  /// No more chains of this hook's priority: the packet goes on.
  case accept
  /// The packet is gone.
  case drop
  /// The next rule.
  case proceed
  /// Back to the calling chain, or to the policy of a base chain.
  case `return`
  /// On to the named chain of the same table, and back.
  case jump(String)
  /// On to the named chain of the same table, for good.
  case goto(String)
  /// Any other code, as it is on the wire (`NF_QUEUE` with its bits).
  case other(Int32)

  /// As in a rule: `goto net-10.22.0.0-16`.
  public var description: String {
    switch self {
    case .accept: "accept"
    case .drop: "drop"
    case .proceed: "continue"
    case .return: "return"
    case .jump(let chain): "jump \(chain)"
    case .goto(let chain): "goto \(chain)"
    case .other(let code): "verdict \(code)"
    }
  }

  /// The chain that is jumped or gone to.
  public var target: String? {
    switch self {
    case .jump(let chain), .goto(let chain): chain
    default: nil
    }
  }

  private var code: Int32 {
    switch self {
    case .drop: 0
    case .accept: 1
    case .proceed: -1
    case .jump: -3
    case .goto: -4
    case .return: -5
    case .other(let code): code
    }
  }

  /// `NFTA_DATA_VERDICT` with its `NFTA_VERDICT_*` inside.
  func encode(into builder: inout MessageBuilder) {
    builder.nested(2) {
      $0.attribute(1, bigEndian: code)
      if let target { $0.attribute(2, string: target) }
    }
  }

  /// Reads the attributes inside `NFTA_DATA_VERDICT`; nil without a code, or for a jump without a chain.
  init?(_ attributes: Attributes) {
    guard let code: Int32 = attributes[1]?.bigEndian() else { return nil }
    switch code {
    case 0: self = .drop
    case 1: self = .accept
    case -1: self = .proceed
    case -5: self = .return
    case -3, -4:
      guard let chain = attributes[2]?.string else { return nil }
      self = code == -3 ? .jump(chain) : .goto(chain)
    default: self = .other(code)
    }
  }
}
