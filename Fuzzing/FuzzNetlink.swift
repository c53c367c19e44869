// Datagrams from any source: no input may crash the readers of messages, attributes and objects.
import NetworkAddresses
import Netlink

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzNetlink(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  walk(Attributes(bytes[...]), depth: 0)
  guard let messages = try? ReceivedMessage.parse(bytes) else { return 0 }
  for message in messages {
    for headerSize in [0, 4, 8, 12, 16] { walk(message.attributes(after: headerSize), depth: 0) }
    _ = message.netfilterDescription
    if let link = Link(message) {
      _ = (link.bridge, link.bridgePort, link.vethPeer, link.kindData.map { Array($0) }, "\(link)")
    }
    if let address = InterfaceAddress(message) {
      rewrite(.addAddress(address, index: address.index ?? 0)) { InterfaceAddress($0) != nil }
    }
    if let route = Route(message) {
      rewrite(.addRoute(route)) { again in
        guard let read = Route(again) else { return false }
        return read.destination == route.destination.network && read.gateway == route.gateway
          && read.table == route.table && read.nextHops == route.nextHops
      }
    }
    if let rule = RoutingRule(message) {
      rewrite(.addRule(rule)) { RoutingRule($0)?.priority == rule.priority }
    }
    if let neighbour = Neighbour(message) {
      // Without an address the family is not known, and the kernel would not have sent it.
      let isWhole = neighbour.isForwardingEntry || neighbour.address != nil
      rewrite(.addNeighbour(neighbour)) { Neighbour($0) != nil || !isWhole }
    }
    if let (index, vlans) = BridgeVLAN.decode(message) {
      for vlan in vlans { _ = RouteRequest.addBridgeVLAN(index: index, vlan).encoded() }
    }
    if let qdisc = Qdisc(message) {
      _ = (qdisc.tokenBucket, qdisc.htb, qdisc.fqCodel, "\(qdisc.handle) \(qdisc.parent)")
      rewrite(.traffic(.addQdisc(qdisc))) { Qdisc($0) == qdisc }
    }
    if let part = TrafficClass(message) {
      _ = part.htb
      rewrite(.traffic(.addClass(part))) { TrafficClass($0) == part }
    }
    if let filter = TrafficFilter(message) {
      _ = (filter.actions, filter.isStructure, RouteRequest.traffic(.deleteFilter(filter.selector)).encoded())
      rewrite(.traffic(.addFilter(filter))) { TrafficFilter($0) == filter }
    }
    if let failure = NetlinkFailure(message) {
      _ = failure.error(operation: "fuzz", request: bytes[...]).description
    }
  }
  return 0
}

/// What was read can be written, and is itself when read again.
private func rewrite(_ request: RouteRequest, _ isSame: (ReceivedMessage) -> Bool) {
  _ = request.operation.description
  guard let again = try? ReceivedMessage.parse(request.encoded()), again.count == 1 else {
    fatalError("what was written is not one message")
  }
  precondition(isSame(again[0]), "written and read again, it is something else")
}

private func walk(_ attributes: Attributes, depth: Int) {
  guard depth < 8 else { return }
  for attribute in attributes {
    precondition(attribute.value.count <= Int(UInt16.max) - 4)
    _ = attribute.integer(as: UInt8.self)
    _ = attribute.integer(as: UInt64.self)
    _ = attribute.bigEndian(as: UInt16.self)
    _ = attribute.bigEndian(as: UInt128.self)
    _ = attribute.string
    walk(attribute.nested, depth: depth + 1)
  }
}
