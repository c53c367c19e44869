import CLinux
import Glibc
import SystemPackage

/// Why a call over D-Bus came to nothing.
public enum DBusError: Error, Hashable, Sendable, CustomStringConvertible {
  /// There is no bus, or it cannot be reached.
  case noBus(address: String, Errno)
  /// The bus does not let us in; what it said.
  case notAuthenticated(String)
  /// No answer came in time; how long was waited, in milliseconds.
  case timedOut(milliseconds: Int)
  /// The bus ended the connection.
  case closed
  /// What came is no D-Bus.
  case malformed(String)
  /// The method's own error: its name, and the text that came along.
  case failed(name: String, message: String)

  /// One line.
  public var description: String {
    switch self {
    case .noBus(let address, let errno): "cannot connect to D-Bus (\(address)): \(errno)"
    case .notAuthenticated(let answer): "D-Bus does not let us in: \(answer)"
    case .timedOut(let milliseconds): "no answer over D-Bus within \(milliseconds) ms"
    case .closed: "D-Bus ended the connection"
    case .malformed(let what): "what came over D-Bus is not understood: \(what)"
    case .failed(let name, let message): message.isEmpty ? name : "\(name): \(message)"
    }
  }

  /// Whether nobody has the name that was called: the service does not run.
  public var isNoSuchService: Bool {
    guard case .failed(let name, _) = self else { return false }
    return name == "org.freedesktop.DBus.Error.ServiceUnknown"
      || name == "org.freedesktop.DBus.Error.NameHasNoOwner"
  }
}

/// A connection to a message bus over its Unix socket, for calling methods one after the other.
///
/// All that happens on it has to be over within a time that is said at the beginning. Closed when it goes away.
public struct DBusConnection: ~Copyable {
  private let descriptor: Int32
  private let deadline: Deadline
  private var serial: UInt32 = 0
  private var received: [UInt8] = []
  /// A reply is some dozens of bytes; the most that is waited for.
  private static let longestMessage = 16 << 20

  /// Where the system's bus is: `DBUS_SYSTEM_BUS_ADDRESS`, or the usual place.
  public static var systemAddress: String {
    if let address = getenv("DBUS_SYSTEM_BUS_ADDRESS"), address.pointee != 0 {
      return String(cString: address)
    }
    return "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"
  }

  /// Connects, says who we are (`EXTERNAL`: the kernel vouches for the user), and says hello.
  ///
  /// - Parameters:
  ///   - address: One or several, as the specification has them: `unix:path=/run/dbus/system_bus_socket`. The first that
  ///     can be connected to is taken.
  ///   - timeout: Milliseconds for everything, from now until the last answer.
  public static func open(
    _ address: String = Self.systemAddress, timeout: Int
  ) throws(DBusError) -> DBusConnection {
    let deadline = Deadline(milliseconds: timeout)
    var connection = DBusConnection(try connect(address, deadline), deadline)
    try connection.authenticate()
    try connection.call("Hello", of: busName, path: "/org/freedesktop/DBus", destination: busName)
    return connection
  }

  private init(_ descriptor: Int32, _ deadline: Deadline) {
    self.descriptor = descriptor
    self.deadline = deadline
  }

  deinit { close(descriptor) }

  private static let busName = "org.freedesktop.DBus"

  /// Whether somebody has the name, without starting whoever would take it.
  public mutating func hasOwner(_ name: String) throws(DBusError) -> Bool {
    let answer = try call(
      "NameHasOwner", of: Self.busName, path: "/org/freedesktop/DBus", destination: Self.busName,
      [.string(name)])
    return answer.first == .boolean(true)
  }

  /// Calls a method, and waits for its answer. A service that does not run is not started.
  ///
  /// - Returns: What the method returned.
  /// - Throws: `DBusError`; `.failed` with the method's own error.
  @discardableResult
  public mutating func call(
    _ member: String, of interface: String, path: String, destination: String, _ arguments: [DBusValue] = []
  ) throws(DBusError) -> [DBusValue] {
    serial += 1
    var message = DBusMessage(
      call: member, of: interface, path: path, destination: destination, arguments, serial: serial)
    message.startsNoService = true
    try send(message.encoded())
    while true {
      let answer = try nextMessage()
      guard answer.replySerial == serial else { continue }
      switch answer.kind {
      case .methodReturn: return answer.body
      case .error:
        throw .failed(name: answer.errorName ?? "", message: answer.body.first?.text ?? "")
      case .methodCall, .signal: continue
      }
    }
  }

  // MARK: Connecting

  private static func connect(_ addresses: String, _ deadline: Deadline) throws(DBusError) -> Int32 {
    var failure = Errno.noSuchFileOrDirectory
    for address in addresses.split(separator: ";") {
      guard let socketAddress = unixAddress(address) else {
        failure = .addressFamilyNotSupported
        continue
      }
      let descriptor = socket(
        AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0
      )
      guard descriptor >= 0 else { throw .noBus(address: addresses, Errno(rawValue: errno)) }
      while true {
        let status = socketAddress.withUnsafeBytes { bytes in
          Glibc.connect(
            descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        if status == 0 { return descriptor }
        // A bus whose queue is full does not say when there is room again.
        if errno == EAGAIN, deadline.remaining > 0 {
          usleep(5000)
          continue
        }
        if errno == EINTR { continue }
        failure = Errno(rawValue: errno)
        break
      }
      close(descriptor)
    }
    throw .noBus(address: addresses, failure)
  }

  /// `struct sockaddr_un` of `unix:path=…` or `unix:abstract=…`; nil for other transports.
  private static func unixAddress(_ address: Substring) -> [UInt8]? {
    guard address.hasPrefix("unix:") else { return nil }
    for option in address.dropFirst(5).split(separator: ",") {
      let isAbstract = option.hasPrefix("abstract=")
      guard isAbstract || option.hasPrefix("path="), let equals = option.firstIndex(of: "=") else { continue }
      guard let path = unescaped(option[option.index(after: equals)...]) else { return nil }
      var bytes = withUnsafeBytes(of: sa_family_t(AF_UNIX)) { Array($0) }
      // The name of an abstract socket begins with a zero, and ends with the address.
      bytes += isAbstract ? [0] + path : path + [0]
      return bytes.count <= 110 ? bytes : nil
    }
    return nil
  }

  /// `%2f` and the like in an address.
  private static func unescaped(_ text: Substring) -> [UInt8]? {
    var result: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        result.append(byte)
        continue
      }
      guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
      rest = rest.dropFirst(2)
      result.append(value)
    }
    return result
  }

  /// "Authentication Protocol" of the specification: a zero byte, then lines.
  private mutating func authenticate() throws(DBusError) {
    let user = String(geteuid()).utf8.map { String($0, radix: 16) }.joined()
    try send([0] + Array("AUTH EXTERNAL \(user)\r\n".utf8))
    let answer = try line()
    guard answer.hasPrefix("OK") else { throw .notAuthenticated(answer) }
    try send(Array("BEGIN\r\n".utf8))
  }

  // MARK: Bytes

  private func wait(for events: Int32) throws(DBusError) {
    while true {
      var state = pollfd(fd: descriptor, events: Int16(events), revents: 0)
      let count = poll(&state, 1, Int32(clamping: deadline.remaining))
      if count > 0 { return }
      if count == 0 { throw .timedOut(milliseconds: deadline.milliseconds) }
      if errno != EINTR { throw .closed }
    }
  }

  private func send(_ bytes: [UInt8]) throws(DBusError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        try wait(for: POLLOUT)
      } else if errno != EINTR {
        throw .closed
      }
    }
  }

  /// Adds what has come to `received`; waits if nothing has.
  private mutating func receive() throws(DBusError) {
    guard deadline.remaining > 0 else { throw .timedOut(milliseconds: deadline.milliseconds) }
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count > 0 {
        received += chunk[..<count]
        return
      }
      if count == 0 { throw .closed }
      if errno == EAGAIN { try wait(for: POLLIN) } else if errno != EINTR { throw .closed }
    }
  }

  private mutating func line() throws(DBusError) -> String {
    while true {
      if let end = received.firstIndex(of: UInt8(ascii: "\n")) {
        let text = String(decoding: received[..<end].filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        received.removeSubrange(...end)
        return text
      }
      guard received.count < 4096 else { throw .malformed("a line of the authentication without end") }
      try receive()
    }
  }

  private mutating func nextMessage() throws(DBusError) -> DBusMessage {
    while true {
      if let length = try Self.length(received) {
        guard length <= Self.longestMessage else { throw .malformed("a message of \(length) bytes") }
        if received.count >= length {
          let bytes = received[..<length]
          defer { received.removeSubrange(..<length) }
          guard let message = DBusMessage(bytes) else { throw .malformed("a message that is none") }
          return message
        }
      }
      try receive()
    }
  }

  private static func length(_ bytes: [UInt8]) throws(DBusError) -> Int? {
    do { return try DBusMessage.length(bytes[...]) } catch { throw .malformed("the beginning of a message") }
  }
}

/// The moment until which something has to be over.
private struct Deadline {
  let milliseconds: Int
  private let end: Int

  init(milliseconds: Int) {
    self.milliseconds = milliseconds
    let (sum, isTooLong) = Self.now.addingReportingOverflow(milliseconds)
    end = isTooLong ? .max : sum
  }

  /// Milliseconds, 0 when it is over.
  var remaining: Int { max(0, end - Self.now) }

  private static var now: Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + time.tv_nsec / 1_000_000
  }
}
