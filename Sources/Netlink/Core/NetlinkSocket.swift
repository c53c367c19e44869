import CLinux
import Glibc
import SystemPackage

/// A netlink family of the kernel (`NETLINK_*` of `linux/netlink.h`).
public struct NetlinkProtocol: RawRepresentable, Hashable, Sendable {
  /// The number that `socket(2)` takes.
  public var rawValue: Int32

  /// Takes the number that `socket(2)` takes.
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// `NETLINK_ROUTE`: links, addresses, routes, rules, neighbours, traffic control.
  public static let route = Self(rawValue: 0)
  /// `NETLINK_NETFILTER`: nf_tables, conntrack.
  public static let netfilter = Self(rawValue: 12)
  /// `NETLINK_GENERIC`: ethtool, devlink and all that came later.
  public static let generic = Self(rawValue: 16)
}

/// A netlink socket, bound for life to the network namespace in which it was opened. Closed when it goes away.
///
/// Requests are answered while `sendmsg` runs: this kernel interface is synchronous. So receiving never blocks,
/// and an answer that is not there has been lost.
public struct NetlinkSocket: ~Copyable, @unchecked Sendable {
  // The buffer is not shared: it goes where the socket goes, and `mutating` keeps two users apart.
  let descriptor: Int32
  private let isNetfilter: Bool
  var buffer: UnsafeMutableRawBufferPointer
  /// The number of the request sent last.
  private var sequence: UInt32 = 0
  /// How often a dump had to be asked for again.
  var repeatedDumps = 0
  /// `SO_RCVBUF` as far as we know: 208 KiB unless `net.core.rmem_default` was changed.
  private var receiveCapacity = 200 << 10

  /// Opens a socket in the network namespace that the descriptor `namespace` refers to, or in that of the calling thread.
  ///
  /// The thread enters the namespace for as long as `socket(2)` takes. If it cannot come back afterwards the
  /// process ends: going on in a foreign namespace would be worse.
  public init(_ protocol: NetlinkProtocol, namespace: Int32? = nil) throws(NetlinkError) {
    descriptor =
      if let namespace {
        try Self.open(`protocol`, inside: namespace)
      } else {
        try Self.open(`protocol`)
      }
    isNetfilter = `protocol` == .netfilter
    // The kernel makes the datagrams of a dump no larger than the largest buffer it has seen, and other answers are
    // smaller; one that is larger all the same makes it grow. With four times as much the allocator would ask the
    // kernel for memory, and give it back, with every socket.
    buffer = .allocate(byteCount: 16 << 10, alignment: 16)
    // Kernels that do not know one of them do without: the answers say less, but nothing breaks.
    set(option: 11, level: Self.level, 1)  // NETLINK_EXT_ACK
    set(option: 10, level: Self.level, 1)  // NETLINK_CAP_ACK
    set(option: 12, level: Self.level, 1)  // NETLINK_GET_STRICT_CHK
  }

  deinit {
    // The last close of a socket of nf_tables that has been used waits until the kernel has freed what any transaction
    // on the machine has deleted: a grace period of some ten milliseconds, after a DEL of ours for certain.
    if isNetfilter && sequence != 0 {
      clinux_close_without_waiting(descriptor)
    } else {
      close(descriptor)
    }
    buffer.deallocate()
  }

  /// Reserves `count` consecutive sequence numbers for messages that the caller builds, and returns the first.
  public mutating func reserveSequences(_ count: Int) -> UInt32 {
    // 0 is what notifications carry. After four billion requests the numbers start anew.
    if sequence > .max - UInt32(count) { sequence = 0 }
    let first = sequence + 1
    sequence += UInt32(count)
    return first
  }

  // MARK: Opening

  private static let level: Int32 = 270  // SOL_NETLINK

  private static func open(_ protocol: NetlinkProtocol) throws(NetlinkError) -> Int32 {
    let descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), `protocol`.rawValue)
    guard descriptor >= 0 else { throw NetlinkError(systemCall: "open netlink socket") }
    return descriptor
  }

  private static func open(_ protocol: NetlinkProtocol, inside namespace: Int32) throws(NetlinkError) -> Int32
  {
    let home = Glibc.open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0 else { throw NetlinkError(systemCall: "open the thread's network namespace") }
    defer { close(home) }
    guard clinux_setns(namespace, CLINUX_CLONE_NEWNET) == 0 else {
      throw NetlinkError(systemCall: "enter network namespace to open netlink socket")
    }
    defer {
      guard clinux_setns(home, CLINUX_CLONE_NEWNET) == 0 else {
        fatalError("cannot return to the thread's network namespace: \(Errno(rawValue: errno))")
      }
    }
    return try open(`protocol`)
  }

  // MARK: Options

  @discardableResult
  private func set(option: Int32, level: Int32, _ value: Int32) -> Bool {
    var value = value
    return setsockopt(descriptor, level, option, &value, 4) == 0
  }

  /// Makes room for `bytes` of answers before they are asked for: what does not fit is lost (`ENOBUFS`).
  mutating func reserveReceiveCapacity(_ bytes: Int) {
    guard bytes > receiveCapacity else { return }
    receiveCapacity = bytes
    let value = Int32(clamping: bytes)
    // Beyond net.core.rmem_max needs CAP_NET_ADMIN; without, as much as may be.
    if !set(option: 33, level: SOL_SOCKET, value) { set(option: SO_RCVBUF, level: SOL_SOCKET, value) }
  }

  mutating func growReceiveCapacity() { reserveReceiveCapacity(receiveCapacity * 4) }

  // MARK: Sending and receiving

  /// Sends one datagram of any number of messages.
  mutating func send(_ bytes: [UInt8], _ operation: () -> NetlinkOperation) throws(NetlinkError) {
    var grown = false
    while Glibc.send(descriptor, bytes, bytes.count, 0) < 0 {
      switch errno {
      case EINTR: continue
      case EMSGSIZE where !grown:  // larger than the send buffer
        grown = true
        let value = Int32(clamping: bytes.count + 4096)
        if !set(option: 32, level: SOL_SOCKET, value) { set(option: SO_SNDBUF, level: SOL_SOCKET, value) }
      default: throw NetlinkError(systemCall: operation().description)
      }
    }
  }

  enum Reception {
    /// So many bytes are in `buffer`.
    case datagram(Int)
    /// A datagram of so many bytes was cut to the size of `buffer`.
    case truncated(Int)
    /// Nothing is there.
    case nothing
    /// The kernel had no room for something it wanted to say (`ENOBUFS`).
    case overrun
  }

  /// Takes one datagram of the kernel out of the queue; what other processes send is thrown away. With `wait`,
  /// waits ten seconds before it finds that nothing is there.
  mutating func receive(wait: Bool, _ operation: () -> NetlinkOperation) throws(NetlinkError) -> Reception {
    while true {
      // struct sockaddr_nl: family and padding, port, groups.
      var sender = (UInt32(0), UInt32(0), UInt32(0))
      let count = withUnsafeMutableBytes(of: &sender) { raw in
        var length = socklen_t(raw.count)
        return recvfrom(
          descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT | MSG_TRUNC),
          raw.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
      }
      if count >= 0 {
        guard sender.1 == 0 else { continue }
        return count > buffer.count ? .truncated(count) : .datagram(count)
      }
      switch errno {
      case EINTR: continue
      case ENOBUFS: return .overrun
      case EAGAIN:
        guard wait else { return .nothing }
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&waiting, 1, 10_000) == 0 { return .nothing }
      default: throw NetlinkError(systemCall: operation().description)
      }
    }
  }

  /// Makes the receive buffer hold `count` bytes.
  mutating func growBuffer(_ count: Int) {
    guard count > buffer.count else { return }
    buffer.deallocate()
    buffer = .allocate(byteCount: (count + 4095) & ~4095, alignment: 16)
  }
}

extension NetlinkError {
  /// The calling thread's `errno` as an error of `operation`.
  init(systemCall operation: String) {
    self.init(errno: Errno(rawValue: Glibc.errno), operation: operation)
  }
}
