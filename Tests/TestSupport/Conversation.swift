import CLinux
import Glibc

/// One question and one answer between two namespaces, by TCP or UDP.
public struct Conversation {
  /// How they talk.
  public enum Transport: CaseIterable, Sendable {
    /// A connection.
    case tcp
    /// One datagram there, one back.
    case udp
  }

  private let transport: Transport
  private let client: Int32
  private let server: Int32

  /// Talks, and gives the address that the server saw the client under; nil if no answer came.
  ///
  /// - Parameters:
  ///   - client: The name of the namespace that asks.
  ///   - server: The name of the one that answers.
  ///   - address: The server's, IPv4 or IPv6.
  ///   - source: The client's; nil: the kernel chooses.
  ///   - clientDevice: The interface or VRF that the client's socket is bound to.
  ///   - serverDevice: That of the server's.
  ///   - patience: Seconds for each step.
  public static func hold(
    _ transport: Transport, from client: String, to server: String, at address: String, source: String? = nil,
    clientDevice: String? = nil, serverDevice: String? = nil, patience: Double = 2.5
  ) throws -> String? {
    let conversation = try Conversation(
      transport: transport,
      client: socket(transport, of: address, in: client, device: clientDevice),
      server: socket(transport, of: address, in: server, device: serverDevice))
    defer {
      close(conversation.client)
      close(conversation.server)
    }
    return try conversation.hold(at: address, source: source, patience: patience)
  }

  private static let port: UInt16 = 5000

  private func hold(at address: String, source: String?, patience: Double) throws -> String? {
    try Self.withAddress(address, Self.port) { name, length in
      guard bind(server, name, length) == 0 else { throw SetupError("bind to \(address)") }
    }
    if transport == .tcp, listen(server, 1) != 0 { throw SetupError("listen") }
    if let source {
      try Self.withAddress(source, 0) { name, length in
        guard bind(client, name, length) == 0 else { throw SetupError("bind to \(source)") }
      }
    }
    let connected = try Self.withAddress(address, Self.port) {
      connect(client, $0, $1) == 0 || errno == EINPROGRESS
    }
    guard connected else { return nil }
    return transport == .udp ? try exchangeDatagrams(patience) : try exchangeByConnection(patience)
  }

  private func exchangeDatagrams(_ patience: Double) throws -> String? {
    var byte: UInt8 = 42
    // The first may be lost while neighbours are looked for.
    var rest = patience
    repeat {
      guard send(client, &byte, 1, 0) == 1, rest > 0 else { return nil }
      rest -= 0.5
    } while !Self.wait(server, POLLIN, min(0.5, patience))
    var peer = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let answered = withUnsafeMutablePointer(to: &peer) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
        recvfrom(server, &byte, 1, 0, peer, &length) == 1 && sendto(server, &byte, 1, 0, peer, length) == 1
      }
    }
    guard answered, Self.wait(client, POLLIN, patience), recv(client, &byte, 1, 0) == 1 else { return nil }
    return Self.text(peer)
  }

  private func exchangeByConnection(_ patience: Double) throws -> String? {
    guard Self.wait(client, POLLOUT, patience), Self.wait(server, POLLIN, patience) else { return nil }
    var peer = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let accepted = withUnsafeMutablePointer(to: &peer) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { accept(server, $0, &length) }
    }
    guard accepted >= 0 else { return nil }
    defer { close(accepted) }
    var byte: UInt8 = 42
    for (from, to) in [(client, accepted), (accepted, client)] {
      guard send(from, &byte, 1, Int32(MSG_NOSIGNAL)) == 1, Self.wait(to, POLLIN, patience),
        recv(to, &byte, 1, 0) == 1
      else { return nil }
    }
    return Self.text(peer)
  }

  // MARK: Sockets

  private static func socket(
    _ transport: Transport, of address: String, in namespace: String, device: String?
  ) throws -> Int32 {
    let family = address.contains(":") ? AF_INET6 : AF_INET
    let type = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
    let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = try onNewThread {
      let file = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw SetupError("open /run/netns/\(namespace)") }
      defer { close(file) }
      guard clinux_setns(file, CLINUX_CLONE_NEWNET) == 0 else { throw SetupError("setns(\(namespace))") }
      return Glibc.socket(family, Int32(type.rawValue) | flags, 0)
    }
    guard descriptor >= 0 else { throw SetupError("socket") }
    var on: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
    if let device {
      let bound = device.withCString {
        setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, $0, socklen_t(strlen($0)))
      }
      guard bound == 0 else {
        let error = SetupError("bind to the device \(device)")
        close(descriptor)
        throw error
      }
    }
    return descriptor
  }

  private static func wait(_ descriptor: Int32, _ events: Int32, _ seconds: Double) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    return poll(&entry, 1, Int32(seconds * 1000)) == 1 && Int32(entry.revents) & events != 0
      && Int32(entry.revents) & POLLERR == 0
  }

  private static func withAddress<R>(
    _ text: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> R
  ) throws -> R {
    var storage = sockaddr_storage()
    let isV6 = text.contains(":")
    let length = socklen_t(isV6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    return try withUnsafeMutableBytes(of: &storage) { bytes in
      // Family, port, then the address: at 4 with IPv4, behind the flow label at 8 with IPv6.
      bytes.storeBytes(of: UInt16(isV6 ? AF_INET6 : AF_INET), as: UInt16.self)
      bytes.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
      guard inet_pton(isV6 ? AF_INET6 : AF_INET, text, bytes.baseAddress! + (isV6 ? 8 : 4)) == 1 else {
        throw SetupError("read the address \(text)", EINVAL)
      }
      return try body(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
    }
  }

  private static func text(_ peer: sockaddr_storage) -> String {
    var text = [CChar](repeating: 0, count: 64)
    return withUnsafeBytes(of: peer) { bytes in
      let family = Int32(peer.ss_family)
      inet_ntop(family, bytes.baseAddress! + (family == AF_INET6 ? 8 : 4), &text, 64)
      return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
  }
}
