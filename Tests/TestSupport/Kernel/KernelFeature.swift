import CLinux
import Glibc
import Synchronization

/// Something that a Linux kernel may have been built without.
public enum KernelFeature: String, CaseIterable, Sendable {
  /// Links of kind `dummy` (CONFIG_DUMMY).
  case dummy
  /// Links of kind `ipvlan` (CONFIG_IPVLAN).
  case ipvlan
  /// Links of kind `vlan`: 802.1Q and 802.1ad (CONFIG_VLAN_8021Q).
  case vlan
  /// Links of kind `vrf` (CONFIG_NET_VRF).
  case vrf
  /// Links of kind `bond` (CONFIG_BONDING). Where that is a module, its loading gives the machine a `bond0`.
  case bond
  /// Bridges that know VLANs (CONFIG_BRIDGE_VLAN_FILTERING).
  case bridgeVLANFiltering
  /// Filters of kind `matchall` (CONFIG_NET_CLS_MATCHALL).
  case matchall
  /// Qdiscs of kind `fq_codel` (CONFIG_NET_SCH_FQ_CODEL).
  case fqCodel
  /// PCI network cards that tests may do anything with: see ``withSpareNetworkCards(_:)``.
  case pciDevices

  /// Whether the running kernel has it. Asked of the kernel itself, once in a process, in a network namespace that
  /// ends right away.
  ///
  /// - Throws: `SetupError` when the answer tells neither: then nothing may be skipped.
  public var isPresent: Bool {
    get throws {
      try answers.withLock { answers in
        if let known = answers[self] { return known }
        let answer = try ask()
        answers[self] = answer
        return answer
      }
    }
  }

  private func ask() throws -> Bool {
    switch self {
    case .dummy, .ipvlan, .vlan, .vrf, .bond: try knowsLink(kind: rawValue)
    // IFLA_BR_VLAN_FILTERING
    case .bridgeVLANFiltering: try knowsLink(kind: "bridge", data: attribute(7, [1]))
    case .fqCodel: try knowsQdisc("fq_codel")
    case .matchall: try knowsFilter("matchall")
    case .pciDevices: !SpareNetworkCard.addresses.isEmpty
    }
  }
}

private let answers = Mutex<[KernelFeature: Bool]>([:])

/// Whether the kernel can make links of the kind with `data`, the attributes inside IFLA_INFO_DATA.
///
/// Written in bytes, and not with the module that is tested: a mistake there must not make its tests be skipped.
private func knowsLink(kind: String, data: [UInt8] = []) throws -> Bool {
  let code = try inNewNetworkNamespace {
    let kind = attribute(1, Array(kind.utf8) + [0])  // IFLA_INFO_KIND
    let data = data.isEmpty ? [] : attribute(2, data)  // IFLA_INFO_DATA
    let info = attribute(18, kind + data)  // IFLA_LINKINFO
    let interface = [UInt8](repeating: 0, count: 16)  // struct ifinfomsg
    return try answer(toRequest: 16, interface + info)  // RTM_NEWLINK
  }
  switch code {
  // EINVAL: the kind is known, and is missing its parent, its table or the like.
  case 0, EINVAL: return true
  case EOPNOTSUPP: return false
  default: throw SetupError("asking the kernel for links of kind \(kind)", code)
  }
}

/// Whether the kernel can make qdiscs of the kind.
private func knowsQdisc(_ kind: String) throws -> Bool {
  try inNewNetworkNamespace {
    // RTM_NEWQDISC
    let code = try answer(toRequest: 36, traffic(parent: 0xffff_ffff) + attribute(1, Array(kind.utf8) + [0]))
    return try isKnown(code, kind)
  }
}

/// Whether the kernel can make filters of the kind. It only says so where there is a place for them.
private func knowsFilter(_ kind: String) throws -> Bool {
  try inNewNetworkNamespace {
    // RTM_NEWQDISC, RTM_NEWTFILTER
    let place = try answer(
      toRequest: 36, traffic(parent: 0xffff_fff1) + attribute(1, Array("ingress".utf8) + [0]))
    guard place == 0 else { throw SetupError("adding a qdisc ingress", place) }
    let all = traffic(parent: 0xffff_0000, info: 1 << 16 | 0x0300)
    let code = try answer(toRequest: 44, all + attribute(1, Array(kind.utf8) + [0]))
    return try isKnown(code, kind)
  }
}

private func isKnown(_ code: Int32, _ kind: String) throws -> Bool {
  switch code {
  case 0, EINVAL: return true
  case ENOENT: return false
  default: throw SetupError("asking the kernel for \(kind)", code)
  }
}

/// The head of a request to traffic control (`struct tcmsg`), about the loopback interface.
private func traffic(parent: UInt32, info: UInt32 = 0) -> [UInt8] {
  bytes(UInt32(0)) + bytes(UInt32(1)) + bytes(UInt32(0)) + bytes(parent) + bytes(info)
}

/// An attribute in the kernel's form (`struct nlattr`), padded to four bytes.
private func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
  let header = bytes(UInt16(4 + value.count)) + bytes(type)
  return header + value + [UInt8](repeating: 0, count: -value.count & 3)
}

/// Sends one rtnetlink request that makes something new, and gives the `errno` of the acknowledgement.
private func answer(toRequest type: UInt16, _ body: [UInt8]) throws -> Int32 {
  let flags: UInt16 = 0x1 | 0x4 | 0x200 | 0x400  // NLM_F_REQUEST, _ACK, _EXCL, _CREATE
  let header =
    bytes(UInt32(16 + body.count)) + bytes(type) + bytes(flags) + bytes(UInt32(1)) + bytes(UInt32(0))
  let descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  guard descriptor >= 0 else { throw SetupError("socket(AF_NETLINK)") }
  defer { close(descriptor) }
  guard send(descriptor, header + body, header.count + body.count, 0) >= 0 else { throw SetupError("send") }
  var reply = [UInt8](repeating: 0, count: 4096)
  let count = recv(descriptor, &reply, reply.count, 0)
  // NLMSG_ERROR
  guard count >= 20, reply[4] == 2 else { throw SetupError("an acknowledgement from rtnetlink") }
  return reply.withUnsafeBytes { -$0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
}

private func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
