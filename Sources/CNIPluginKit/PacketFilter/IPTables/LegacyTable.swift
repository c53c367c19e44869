import Glibc
import LinuxNetworking
import NetworkAddresses
import Netlink
import SystemPackage

/// A table of ip_tables or ip6_tables, as the kernel hands it out (`linux/netfilter_ipv4/ip_tables.h`,
/// `linux/netfilter_ipv6/ip6_tables.h`, `linux/netfilter/x_tables.h`).
struct LegacyTable {
  /// Base chains first, in the order of their hooks.
  private(set) var chains: [IPTablesChain] = []
  /// What else the rules of each chain say, one for one; only if asked for.
  private(set) var details: [String: [Detail]] = [:]

  /// The parts of a rule that only their extension understands.
  struct Detail: Equatable {
    /// `-p`; 0 for any.
    var transport: UInt8
    /// Matches, then the target.
    var extensions: [Extension]
  }

  /// `struct xt_entry_match`, `struct xt_entry_target`.
  struct Extension: Equatable {
    var name: String
    var revision: UInt8
    /// Its own structure.
    var info: [UInt8]
  }

  subscript(name: String) -> IPTablesChain? { chains.first { $0.name == name } }

  /// The table of the thread's network namespace; nil if it is not in use, or cannot be read.
  init?(_ table: IPTablesTable, withDetails: Bool = false) {
    // Asking for a table that is not in use would make it.
    let names = table.family == .ipv4 ? "ip_tables_names" : "ip6_tables_names"
    guard let used = try? StateFile.readIfPresent("/proc/thread-self/net/" + names),
      used.split(separator: UInt8(ascii: "\n")).contains(where: { $0.elementsEqual(table.name.rawValue.utf8) }
      )
    else { return nil }
    let socket = Glibc.socket(
      table.family == .ipv4 ? AF_INET : AF_INET6, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue),
      Int32(IPPROTO_RAW))
    guard socket >= 0 else { return nil }
    defer { close(socket) }
    // Where somebody changes the table between the two questions, they are asked again.
    for _ in 0..<100 {
      switch Self.read(table, socket) {
      case .success(let (information, entries)):
        self.init(table, information: information, entries: entries, withDetails: withDetails)
        return
      case .failure(.resourceTemporarilyUnavailable): continue
      case .failure: return nil
      }
    }
    return nil
  }

  /// `struct ipt_getinfo`: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size.
  private static let informationSize = 84

  /// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, which have the same numbers in both families.
  private static func read(
    _ table: IPTablesTable, _ socket: Int32
  ) -> Result<(information: [UInt8], entries: [UInt8]), Errno> {
    let level = Int32(table.family == .ipv4 ? IPPROTO_IP : IPPROTO_IPV6)
    let name = Array(table.name.rawValue.utf8)
    var information = name + [UInt8](repeating: 0, count: informationSize - name.count)
    var length = socklen_t(information.count)
    guard getsockopt(socket, level, 64, &information, &length) == 0 else {
      return .failure(Errno(rawValue: errno))
    }
    let size = information.number(at: 80)
    // struct ipt_get_entries: name[32], size, padding, the entries.
    var answer = [UInt8](repeating: 0, count: 40 + Int(size))
    answer.replaceSubrange(0..<name.count, with: name)
    withUnsafeBytes(of: size) { answer.replaceSubrange(32..<36, with: $0) }
    length = socklen_t(answer.count)
    guard getsockopt(socket, level, 65, &answer, &length) == 0 else {
      return .failure(Errno(rawValue: errno))
    }
    return .success((information, Array(answer[40...])))
  }

  /// Reads what the two calls gave.
  init(_ table: IPTablesTable, information: [UInt8], entries: [UInt8], withDetails: Bool = false) {
    let layout = EntryLayout(table.family)
    var heads: [UInt32: String] = [:]
    let hooks = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
    var policies: Set<UInt32> = []
    for (index, hook) in hooks.enumerated() where information.number(at: 32) >> UInt32(index) & 1 != 0 {
      heads[information.number(at: 36 + 4 * index)] = hook
      policies.insert(information.number(at: 56 + 4 * index))
    }

    // A jump says where it leads by the place of the chain's first rule: names first.
    var offset = 0
    while let next = layout.next(entries, at: offset) {
      if let name = layout.chainName(entries, at: offset), name != "ERROR" { heads[UInt32(next)] = name }
      offset = next
    }

    var current: IPTablesChain?
    offset = 0
    while let next = layout.next(entries, at: offset) {
      if layout.chainName(entries, at: offset) != nil {
        // A chain ends with a rule of the kernel's own: return.
        finish(&current, dropsLast: true)
      } else {
        if let name = heads[UInt32(offset)] {
          current = IPTablesChain(name: name)
        }
        let rule = layout.rule(entries, at: offset, chains: heads)
        if policies.contains(UInt32(offset)), current != nil {
          current!.policy = rule.target == .drop ? .drop : .accept
          finish(&current, dropsLast: false)
        } else {
          current?.rules.append(rule)
          if withDetails, let name = current?.name {
            details[name, default: []].append(layout.detail(entries, at: offset))
          }
        }
      }
      offset = next
    }
  }

  private mutating func finish(_ chain: inout IPTablesChain?, dropsLast: Bool) {
    guard var whole = chain else { return }
    if dropsLast, !whole.rules.isEmpty {
      whole.rules.removeLast()
      if details[whole.name]?.isEmpty == false { details[whole.name]!.removeLast() }
    }
    chains.append(whole)
    chain = nil
  }
}

/// Where things are in `struct ipt_entry` or `struct ip6t_entry`.
private struct EntryLayout {
  let family: AddressFamily
  /// Bytes of an address.
  let width: Int
  /// Of `target_offset`; `next_offset` is behind it.
  let offsets: Int
  /// Of matches and target.
  let elements: Int

  init(_ family: AddressFamily) {
    self.family = family
    width = family == .ipv4 ? 4 : 16
    offsets = family == .ipv4 ? 88 : 140
    elements = family == .ipv4 ? 112 : 168
  }

  /// The place of the next entry; nil behind the last, and where the bytes make no sense.
  func next(_ bytes: [UInt8], at offset: Int) -> Int? {
    guard offset + elements <= bytes.count else { return nil }
    let (target, size) = (targetOffset(bytes, offset), Int(bytes.short(at: offset + offsets + 2)))
    guard target >= elements, target + 32 <= size, offset + size <= bytes.count else { return nil }
    return offset + size
  }

  private func targetOffset(_ bytes: [UInt8], _ offset: Int) -> Int {
    Int(bytes.short(at: offset + offsets))
  }

  /// The name of the chain that begins behind this entry, which is none of its rules; nil for any other.
  func chainName(_ bytes: [UInt8], at offset: Int) -> String? {
    let target = offset + targetOffset(bytes, offset)
    return bytes.text(at: target + 2, limit: 29) == "ERROR" ? bytes.text(at: target + 32, limit: 30) : nil
  }

  func rule(_ bytes: [UInt8], at offset: Int, chains: [UInt32: String]) -> IPTablesRule {
    var rule = IPTablesRule(target: target(bytes, at: offset, chains: chains))
    // struct ipt_ip: src, dst, smsk, dmsk, iniface, outiface, their masks, proto, flags, invflags; ipt_ip6 has a tos
    // before flags.
    let names = offset + 4 * width
    let tail = names + 64
    let inverted = bytes[tail + (family == .ipv4 ? 3 : 4)]
    if bytes.short(at: tail) != 0 { rule.hasOtherConditions = true }
    func address(_ index: Int, _ flag: UInt8) -> IPTablesRule.Condition<IPPrefix>? {
      let mask = bytes[(offset + (2 + index) * width)..<(offset + (3 + index) * width)]
      guard mask.contains(where: { $0 != 0 }) else { return nil }
      let value = bytes[(offset + index * width)..<(offset + (1 + index) * width)]
      guard let address = IPAddress(bytes: value), let mask = IPAddress(bytes: mask),
        let length = IPPrefix.length(ofMask: mask), let prefix = IPPrefix(address: address, length: length)
      else {
        rule.hasOtherConditions = true
        return nil
      }
      return .init(prefix, isInverted: inverted & flag != 0)
    }
    func interface(_ index: Int, _ flag: UInt8) -> IPTablesRule.Condition<String>? {
      let name = bytes.text(at: names + 16 * index, limit: 16)
      // A beginning of names keeps its plus sign here.
      return name.isEmpty ? nil : .init(name, isInverted: inverted & flag != 0)
    }
    // IPT_INV_VIA_IN, VIA_OUT, SRCIP, DSTIP
    rule.source = address(0, 0x08)
    rule.destination = address(1, 0x10)
    rule.inputInterface = interface(0, 0x01)
    rule.outputInterface = interface(1, 0x02)

    var match = offset + elements
    let end = offset + targetOffset(bytes, offset)
    while match + 32 <= end {
      let size = Int(bytes.short(at: match))
      guard size >= 32, match + size <= end else { break }
      if bytes.text(at: match + 2, limit: 29) == "comment" {
        rule.comment = bytes.text(at: match + 32, limit: size - 32)
      } else {
        rule.hasOtherConditions = true
      }
      match += size
    }
    return rule
  }

  func detail(_ bytes: [UInt8], at offset: Int) -> LegacyTable.Detail {
    var extensions: [LegacyTable.Extension] = []
    var place = offset + elements
    let target = offset + targetOffset(bytes, offset)
    while place + 32 <= offset + Int(bytes.short(at: offset + offsets + 2)) {
      let size = Int(bytes.short(at: place))
      guard size >= 32, place + size <= bytes.count else { break }
      extensions.append(
        .init(
          name: bytes.text(at: place + 2, limit: 29), revision: bytes[place + 31],
          info: Array(bytes[(place + 32)..<(place + size)])))
      if place == target { break }
      place += size
    }
    return .init(transport: bytes[offset + 4 * width + 64], extensions: extensions)
  }

  /// `struct xt_entry_target`: its size, a name of 29 bytes, a revision. Without a name it is a verdict, or the place
  /// of a chain's first rule.
  private func target(_ bytes: [UInt8], at offset: Int, chains: [UInt32: String]) -> IPTablesRule.Target {
    let place = offset + targetOffset(bytes, offset)
    let name = bytes.text(at: place + 2, limit: 29)
    guard name.isEmpty, place + 36 <= bytes.count else { return .other(name) }
    let verdict = Int32(bitPattern: bytes.number(at: place + 32))
    switch verdict {
    case -1: return .drop
    case -2: return .accept
    case -5: return .return
    case 0...:
      guard let chain = chains[UInt32(verdict)] else { return .other("") }
      // IPT_F_GOTO, IP6T_F_GOTO
      let flags = bytes[offset + 4 * width + 64 + (family == .ipv4 ? 2 : 3)]
      return flags & (family == .ipv4 ? 0x02 : 0x04) != 0 ? .goto(chain) : .jump(chain)
    default: return .other("")
    }
  }
}

extension [UInt8] {
  fileprivate func number(at offset: Int) -> UInt32 {
    withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
  }

  fileprivate func short(at offset: Int) -> UInt16 {
    withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt16.self) }
  }

  /// A text that ends with a zero, or with the field.
  fileprivate func text(at offset: Int, limit: Int) -> String {
    String(decoding: self[offset..<Swift.min(offset + limit, count)].prefix { $0 != 0 }, as: UTF8.self)
  }
}
