import CNI
import NetworkAddresses
import Netlink

/// Properties of an interface that `tuning` sets. What is nil is left alone.
struct LinkTuning: Sendable, Equatable {
  /// `mac`.
  var mac: MACAddress?
  /// `mtu`, bytes.
  var mtu: UInt32?
  /// `promisc`: receives everything.
  var isPromiscuous: Bool?
  /// `allmulti`: receives all multicast.
  var receivesAllMulticast: Bool?
  /// `txQLen`, packets.
  var transmitQueueLength: UInt32?

  var isEmpty: Bool { self == LinkTuning() }

  /// What has to be changed on `link` for it to be so.
  func missing(on link: Link) -> LinkTuning {
    func unless<T: Equatable>(_ actual: T?, _ wanted: T?) -> T? { wanted == actual ? nil : wanted }
    return LinkTuning(
      mac: unless(link.mac, mac), mtu: unless(link.mtu, mtu),
      isPromiscuous: unless(link.flags.contains(.promiscuous), isPromiscuous),
      receivesAllMulticast: unless(link.flags.contains(.allMulticast), receivesAllMulticast),
      transmitQueueLength: unless(link.transmitQueueLength, transmitQueueLength))
  }

  /// What `link` has now of the properties that are set here.
  func present(on link: Link) -> LinkTuning {
    LinkTuning(
      mac: mac == nil ? nil : link.mac, mtu: mtu.map { _ in link.mtu },
      isPromiscuous: isPromiscuous.map { _ in link.flags.contains(.promiscuous) },
      receivesAllMulticast: receivesAllMulticast.map { _ in link.flags.contains(.allMulticast) },
      transmitQueueLength: transmitQueueLength.map { _ in link.transmitQueueLength })
  }

  /// These, and of `others` what is not among them.
  func merged(with others: LinkTuning) -> LinkTuning {
    LinkTuning(
      mac: mac ?? others.mac, mtu: mtu ?? others.mtu, isPromiscuous: isPromiscuous ?? others.isPromiscuous,
      receivesAllMulticast: receivesAllMulticast ?? others.receivesAllMulticast,
      transmitQueueLength: transmitQueueLength ?? others.transmitQueueLength)
  }

  /// All of it as one message.
  var change: LinkChange {
    LinkChange(
      mtu: mtu, mac: mac, transmitQueueLength: transmitQueueLength, isPromiscuous: isPromiscuous,
      receivesAllMulticast: receivesAllMulticast)
  }

  /// Each property by itself, for when one of them is refused.
  var parts: [LinkTuning] {
    [
      LinkTuning(mac: mac), LinkTuning(mtu: mtu), LinkTuning(isPromiscuous: isPromiscuous),
      LinkTuning(receivesAllMulticast: receivesAllMulticast),
      LinkTuning(transmitQueueLength: transmitQueueLength),
    ].filter { !$0.isEmpty }
  }

  /// For CHECK: each property that `link` does not have as it is here.
  func differences(on link: Link) -> [String] {
    let missing = missing(on: link)
    var texts: [String] = []
    func tell<T>(_ key: String, _ wanted: T?, _ actual: @autoclosure () -> String) {
      if let wanted { texts.append("\(key) is \(actual()), it was set to \(wanted)") }
    }
    tell("mac", missing.mac, link.mac?.description ?? "none")
    tell("mtu", missing.mtu, "\(link.mtu)")
    tell("promisc", missing.isPromiscuous, "\(link.flags.contains(.promiscuous))")
    tell("allmulti", missing.receivesAllMulticast, "\(link.flags.contains(.allMulticast))")
    tell("txQLen", missing.transmitQueueLength, "\(link.transmitQueueLength)")
    return texts
  }
}
