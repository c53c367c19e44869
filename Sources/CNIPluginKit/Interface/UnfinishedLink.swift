import Netlink

// A kernel gives no alias to a link that it makes: the mark comes in a second message. (In the same datagram it would
// also reach a stranger's link, where that was there first.) A group it does give, so a link is born in one that says
// whose it will be: when its maker is killed in between, the link is not nobody's.

extension Owner {
  /// The group (`IFLA_GROUP`) of the network's links that have no mark yet.
  public var unfinishedGroup: UInt32 {
    // Far from those that people give, and from those in which links are deleted together.
    0x2000_0000 | UInt32(truncatingIfNeeded: FNV.hash("cni:" + network)) & 0x0fff_ffff
  }

  /// Whether a link is one of the network's whose maker has not given it its mark, or not yet.
  public func isUnfinished(_ link: Link) -> Bool {
    (link.alias ?? "").isEmpty && link.group == unfinishedGroup
  }

  /// Whether a link that was found by a name that follows from this owner is the owner's.
  public func owns(_ link: Link) -> Bool {
    isUnfinished(link) || owns(link.alias ?? "", limit: OwnedLinks.aliasLimit)
  }

  /// Gives a link its mark. From then on it is in no group.
  public func marking(isUp: Bool? = nil) -> LinkChange {
    LinkChange(isUp: isUp, alias: mark(limit: OwnedLinks.aliasLimit), group: 0)
  }
}

extension StaleMarks {
  /// Whether a link is that of an attachment which is not valid any more, or of one that was never finished: while
  /// garbage is collected, no attachment of the network is being made.
  public func contains(_ link: Link) -> Bool {
    Owner(network: network).isUnfinished(link) || link.alias.map(contains) == true
  }
}
