extension ReceivedMessage {
  /// What a message of nf_tables says is there, in nft's words, one line for each table, chain, rule, set or
  /// element of it; nil for messages that are none of these, or cannot be read.
  ///
  /// Elements of which only the bytes are known here are printed as such.
  public var netfilterDescription: String? {
    guard type >> 8 == NFTMessage.subsystem >> 8 else { return nil }
    switch type & 0xff {
    case 0: return Table(self)?.description
    case 3: return Chain(self)?.description
    case 6: return Rule(self).map { "rule \($0.chain.reference) \($0)" }
    case 9: return NFTSet(self)?.description
    case 12:
      guard let family = netfilterFamily, let table = netfilterAttributes[1]?.string,
        let name = netfilterAttributes[2]?.string
      else { return nil }
      let set = NFTSet(Table(family, table), name, key: [])
      let elements = NetfilterSocket.elements([self], set)
      return "element \(set.reference) { \(elements.map(\.description).joined(separator: ", ")) }"
    default: return nil
    }
  }
}
