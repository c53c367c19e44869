import CLinux
import Glibc

/// Sends and hears Ethernet frames at an interface, with and without VLAN tags, whatever the kernel's own protocols make
/// of them.
public final class PacketTap {
  /// A frame with the EtherType for experiments (0x88b5).
  public struct Frame: Hashable, Sendable, CustomStringConvertible {
    /// Six bytes.
    public var destination: [UInt8]
    /// Six bytes.
    public var source: [UInt8]
    /// The VLAN of its 802.1Q tag; nil without a tag.
    public var vlan: UInt16?
    /// What is in it, at most 100 bytes.
    public var text: String

    /// A broadcast, if no destination is given.
    public init(
      from source: [UInt8], to destination: [UInt8] = [UInt8](repeating: 0xff, count: 6), vlan: UInt16? = nil,
      _ text: String
    ) {
      (self.destination, self.source, self.vlan, self.text) = (destination, source, vlan, text)
    }

    /// Its text, and the tag.
    public var description: String { text + (vlan.map { " in VLAN \($0)" } ?? "") }

    fileprivate var bytes: [UInt8] {
      var body = destination + source
      if let vlan { body += [0x81, 0x00, UInt8(vlan >> 8), UInt8(vlan & 0xff)] }
      body += experimental
      body.append(UInt8(text.utf8.count))
      body += text.utf8
      return body + [UInt8](repeating: 0, count: max(0, 64 - body.count))
    }

    /// `nil` for another protocol's frame.
    fileprivate init?(_ bytes: ArraySlice<UInt8>, vlan: UInt16?) {
      let bytes = Array(bytes)
      guard bytes.count >= 15, Array(bytes[12..<14]) == experimental, bytes.count >= 15 + Int(bytes[14])
      else {
        return nil
      }
      destination = Array(bytes[..<6])
      source = Array(bytes[6..<12])
      text = String(decoding: bytes[15..<15 + Int(bytes[14])], as: UTF8.self)
      self.vlan = vlan
    }
  }

  /// The interface's hardware address, six bytes.
  public let mac: [UInt8]
  private let descriptor: Int32

  /// Listens at the interface of that name in a named network namespace, or the calling thread's own.
  public init(_ interface: String, namespace: String? = nil) throws {
    (descriptor, mac) = try onNewThread {
      if let namespace {
        let file = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw SetupError("open /run/netns/\(namespace)") }
        defer { close(file) }
        guard clinux_setns(file, CLINUX_CLONE_NEWNET) == 0 else { throw SetupError("setns(\(namespace))") }
      }
      return try listen(at: interface)
    }
  }

  deinit { close(descriptor) }

  /// Sends a frame as it is, whoever's the source address.
  public func send(_ frame: Frame) throws {
    let bytes = frame.bytes
    guard Glibc.send(descriptor, bytes, bytes.count, 0) == bytes.count else {
      throw SetupError("send a frame")
    }
  }

  /// What others have sent since the last time. Waits `seconds` for the first.
  public func heard(within seconds: Double = 0) throws -> [Frame] {
    var frames: [Frame] = []
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let end = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9 + seconds
    while true {
      clock_gettime(CLOCK_MONOTONIC, &now)
      let rest = end - Double(now.tv_sec) - Double(now.tv_nsec) / 1e9
      guard poll(&entry, 1, frames.isEmpty ? Int32(max(0, rest) * 1000) : 0) > 0 else { return frames }
      if let frame = receive(descriptor) { frames.append(frame) }
    }
  }
}

private let experimental: [UInt8] = [0x88, 0xb5]

/// A packet socket that is bound to the interface, and the interface's address.
private func listen(at interface: String) throws -> (Int32, [UInt8]) {
  let index = if_nametoindex(interface)
  guard index != 0 else { throw SetupError("find the interface \(interface)") }
  // ETH_P_ALL: tagged frames as well.
  let all: UInt16 = 3
  let descriptor = socket(
    AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(all.bigEndian))
  guard descriptor >= 0 else { throw SetupError("socket(AF_PACKET)") }
  // struct sockaddr_ll of linux/if_packet.h
  var address = [UInt8](repeating: 0, count: 20)
  address.withUnsafeMutableBytes {
    $0.storeBytes(of: UInt16(AF_PACKET), toByteOffset: 0, as: UInt16.self)
    $0.storeBytes(of: all.bigEndian, toByteOffset: 2, as: UInt16.self)
    $0.storeBytes(of: Int32(index), toByteOffset: 4, as: Int32.self)
  }
  var on: Int32 = 1
  var length = socklen_t(address.count)
  let works = address.withUnsafeMutableBytes { bytes in
    let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
    return bind(descriptor, address, length) == 0 && getsockname(descriptor, address, &length) == 0
  }
  // SOL_PACKET: PACKET_AUXDATA, PACKET_IGNORE_OUTGOING
  guard works, setsockopt(descriptor, 263, 8, &on, 4) == 0, setsockopt(descriptor, 263, 23, &on, 4) == 0
  else {
    let error = SetupError("listen at \(interface)")
    close(descriptor)
    throw error
  }
  return (descriptor, Array(address[12..<18]))
}

/// One frame; `nil` for another protocol's. The kernel has taken the tag out, and tells it beside.
private func receive(_ descriptor: Int32) -> PacketTap.Frame? {
  var bytes = [UInt8](repeating: 0, count: 2048)
  var control = [UInt8](repeating: 0, count: 128)
  var vlan: UInt16?
  let count = bytes.withUnsafeMutableBytes { bytes in
    control.withUnsafeMutableBytes { control in
      var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
      return withUnsafeMutablePointer(to: &part) { part in
        var header = msghdr()
        header.msg_iov = part
        header.msg_iovlen = 1
        header.msg_control = control.baseAddress
        header.msg_controllen = control.count
        let count = recvmsg(descriptor, &header, 0)
        // struct cmsghdr, 16 bytes, then struct tpacket_auxdata: flags first (0x10: with a tag), the tag at 16.
        if header.msg_controllen >= 36, control.load(fromByteOffset: 16, as: UInt32.self) & 0x10 != 0 {
          vlan = control.load(fromByteOffset: 32, as: UInt16.self) & 0xfff
        }
        return count
      }
    }
  }
  return count > 0 ? PacketTap.Frame(bytes[..<count], vlan: vlan) : nil
}
