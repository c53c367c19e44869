import NetworkAddresses

extension Statement: CustomStringConvertible {
  /// As nft lists it, in a table of both families.
  public var description: String { text(family: .inet) }

  /// As nft lists it in a table of that family.
  func text(family: NetfilterFamily) -> String {
    switch self {
    case .match(let field, let relation, let operand): Self.text(field, relation, operand)
    case .lookup(let fields, let relation, let set):
      "\(Self.text(fields)) \(relation == .notEqual ? "!= " : "")@\(set.name)"
    case .prefixLookup(let fields, let length, let set): "\(Self.text(fields, length)) @\(set.name)"
    case .verdict(let verdict): verdict.description
    case .verdictMap(let fields, let map): "\(Self.text(fields)) vmap @\(map.name)"
    case .count(let counter): "counter packets \(counter.packets) bytes \(counter.bytes)"
    case .masqueraded(let flags): "masquerade\(flags.suffix)"
    case .redirect(let port, let flags): "redirect\(port.map { " to :\($0)" } ?? "")\(flags.suffix)"
    case .destinationNAT(let target, let flags): "dnat \(target.text(family: family))\(flags.suffix)"
    case .sourceNAT(let target, let flags): "snat \(target.text(family: family))\(flags.suffix)"
    case .setMark(let field, let keeping, let flipping): Self.text(set: field, keeping, flipping)
    case .limit(let limit): limit.text
    case .log(let log): log.text
    case .rejected(let reject): reject.text(family: family)
    case .notrack: "notrack"
    case .raw(.xtables(let extension_)): "xt \(extension_.isTarget ? "target" : "match") \(extension_.name)"
    case .raw(let expression): "[ \(expression.name) ]"
    }
  }

  private static func text(_ fields: [Selector]) -> String {
    fields.map(\.rawValue).joined(separator: " . ")
  }

  private static func text(_ fields: [Selector], _ length: Int) -> String {
    let family: AddressFamily = fields.first?.type == .ipv6Address ? .ipv6 : .ipv4
    let names = fields.map(\.rawValue)
    return (["\(names.first ?? "") & \(IPAddress.mask(family, length: length))"] + names.dropFirst())
      .joined(separator: " . ")
  }

  private static func text(_ field: Selector, _ relation: Relation, _ operand: Operand) -> String {
    let sign = relation == .notEqual ? "!= " : ""
    let right: String
    switch operand {
    case .value(let value): right = "\(sign)\(value)"
    case .prefix(let prefix):
      right =
        sign
        + (prefix.length == prefix.family.bitWidth ? prefix.address.description : prefix.network.description)
    case .range(let low, let high): right = "\(sign)\(low)-\(high)"
    case .interfacePrefix(let name): right = "\(sign)\"\(name)*\""
    case .masked(let mask, let value):
      right = "& \(hexadecimal(mask)) \(relation == .equal ? "==" : "!=") \(hexadecimal(value))"
    case .states(let states): right = sign + states.text
    case .statuses(let statuses): right = sign + statuses.text
    }
    return "\(field.rawValue) \(right)"
  }

  private static func text(set field: Selector, _ keeping: UInt32, _ flipping: UInt32) -> String {
    let name = field.rawValue
    return switch (keeping, flipping) {
    case (0, _): "\(name) set \(hexadecimal(flipping))"
    case (_, ~keeping): "\(name) set \(name) | \(hexadecimal(flipping))"
    case (_, 0): "\(name) set \(name) & \(hexadecimal(keeping))"
    case (.max, _): "\(name) set \(name) ^ \(hexadecimal(flipping))"
    default: "\(name) set \(name) & \(hexadecimal(keeping)) ^ \(hexadecimal(flipping))"
    }
  }
}

extension Statement.NATTarget {
  func text(family: NetfilterFamily) -> String {
    switch self {
    case .address(let address, let port):
      let ip6 = address.family == .ipv6
      let word = family == .inet ? (ip6 ? "ip6 " : "ip ") : ""
      guard let port else { return "\(word)to \(address)" }
      return word + (ip6 ? "to [\(address)]:\(port)" : "to \(address):\(port)")
    case .map(let fields, let map, let target, _):
      // Said also where the table leaves no choice: only then does nft look for an address in the map.
      return
        "\(target == .ipv6 ? "ip6" : "ip") to \(fields.map(\.rawValue).joined(separator: " . ")) map @\(map.name)"
    }
  }
}
