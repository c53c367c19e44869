/// `match` or `target`: an extension of iptables in a rule of nf_tables, as iptables-nft makes it
/// (`enum nft_match_attributes`, `enum nft_target_attributes`, `linux/netfilter/nf_tables_compat.h`).
public struct XTablesExpression: Hashable, Sendable {
  /// Whether it is a target, else a match.
  public var isTarget: Bool
  /// Which extension: `comment`, `addrtype`, `MASQUERADE`.
  public var name: String
  /// Which version of it.
  public var revision: UInt32
  /// Its own structure.
  public var info: [UInt8]

  init?(_ fields: Attributes, isTarget: Bool) {
    guard let name = fields[1]?.string else { return nil }
    self.isTarget = isTarget
    self.name = name
    revision = fields[2]?.bigEndian() ?? 0
    info = fields[3].map { Array($0.value) } ?? []
  }

  /// The text of `-m comment --comment`.
  public var comment: String? {
    guard !isTarget, name == "comment" else { return nil }
    return String(validating: info.prefix { $0 != 0 }, as: UTF8.self)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, string: name)
    builder.attribute(2, bigEndian: revision)
    builder.attribute(3, bytes: info)
  }
}
