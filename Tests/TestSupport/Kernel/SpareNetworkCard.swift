import CLinux
import Glibc
import Synchronization

/// A PCI network card that belongs to tests, and is connected to nothing.
public struct SpareNetworkCard: Sendable {
  /// Where it is on the bus: `0000:00:05.0`.
  public let pciAddress: String
  /// Its interface.
  public let name: String

  /// The cards of this machine. A machine's own cards are none: only who has put them there for the purpose, as
  /// the virtual machine of `make test` does, names them in `SPARE_PCI_DEVICES`, separated by spaces.
  static var addresses: [String] {
    getenv("SPARE_PCI_DEVICES").map { String(cString: $0).split(separator: " ").map(String.init) } ?? []
  }
}

/// Runs `body` with the spare cards in the calling thread's network namespace, each down and without addresses.
///
/// Needs ``KernelFeature/pciDevices``, and to be inside ``inNewNetworkNamespace(_:)``. One test at a time has the cards; the next
/// waits. When the namespace that they are in ends, the kernel gives them back.
public func withSpareNetworkCards<R>(_ body: ([SpareNetworkCard]) throws -> R) throws -> R {
  try cardsInUse.withLock { _ in
    let cards = try SpareNetworkCard.addresses.map { address in
      SpareNetworkCard(pciAddress: address, name: try takeCard(address))
    }
    return try body(cards)
  }
}

private let cardsInUse = Mutex(())

/// Brings a card from the machine's first network namespace, where it returns to by itself within moments after the namespace
/// that it was in has ended, into the calling thread's; gives the name of its interface.
private func takeCard(_ address: String) throws -> String {
  let here = "/proc/\(getpid())/task/\(clinux_thread_id())/ns/net"
  let script = """
    for attempt in $(seq 100); do
      for path in /sys/bus/pci/devices/\(address)/net/* /sys/bus/pci/devices/\(address)/virtio*/net/*; do
        [ -e "$path" ] || continue
        name=${path##*/}
        ip link set dev "$name" down alias ''; ip link set dev "$name" netns \(here)
        echo "$name"; exit
      done
      sleep 0.1
    done
    echo 'the network card at \(address) does not come back' >&2; exit 1
    """
  let arguments = ["nsenter", "--net=/proc/1/ns/net", "--mount=/proc/1/ns/mnt", "sh", "-ec", script]
  let result = try ChildProcess(arguments).wait()
  guard result.succeeded else {
    throw CommandFailure(what: "taking the network card \(address)", result: result)
  }
  return String(result.standardOutput.split(separator: "\n").first ?? "")
}
