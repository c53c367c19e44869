import NetworkAddresses

extension RouteSocket {
  /// The IPv6 multicast groups that an interface listens to (`RTM_GETMULTICAST`).
  public mutating func multicastGroups(index: Int32) throws(NetlinkError) -> [IPv6Address] {
    let groups = try dump(
      RouteMessageType.getMulticast, "list multicast groups",
      {  // struct ifaddrmsg
        $0.append(AddressFamily.ipv6.number)
        $0.append(bytes: [0, 0, 0])
        $0.append(index)
      }, { MulticastGroup($0) })
    return groups.compactMap { $0.index == index ? $0.address : nil }
  }
}

private struct MulticastGroup {
  let address: IPv6Address
  let index: Int32

  /// Nil for what is not one of IPv6.
  init?(_ message: ReceivedMessage) {
    // The kernel answers a dump with the type of the question.
    guard [RouteMessageType.newMulticast, RouteMessageType.getMulticast].contains(message.type),
      let header = FixedHeader(message.payload, size: 8)
    else { return nil }
    index = header.load(4)
    for attribute in message.attributes(after: 8) where attribute.type == 7 {  // IFA_MULTICAST
      guard case .v6(let address)? = attribute.ipAddress else { continue }
      self.address = address
      return
    }
    return nil
  }
}
