import Glibc
import SystemPackage

/// A socket for connection tracking in one network namespace: tracked connections are listed and forgotten.
public struct ConntrackSocket: ~Copyable, Sendable {
  private var socket: NetlinkSocket

  /// Opens a socket in the network namespace that the descriptor `namespace` refers to, or in that of the
  /// calling thread.
  public init(namespace: Int32? = nil) throws(NetlinkError) {
    socket = try NetlinkSocket(.netfilter, namespace: namespace)
  }

  /// The connections that are meant, picked out by the kernel where it can, else here.
  ///
  /// - Throws: `EINVAL` in a kernel without ctnetlink.
  public mutating func entries(matching filter: ConntrackFilter) throws(NetlinkError) -> [ConntrackEntry] {
    let told = filter.forKernel
    let request = NetlinkRequest(type: ConntrackMessage.get, flags: .request, operation: "list connections") {
      told.encode(into: &$0)
    }
    let messages: [ReceivedMessage]
    do {
      messages = try socket.dump(request)
    } catch {
      guard Self.isUnknownFilter(error) else { throw error }
      messages = try dump()
    }
    return messages.compactMap(ConntrackEntry.init).filter(filter.matches)
  }

  /// All connections, of both families.
  ///
  /// - Throws: `EINVAL` in a kernel without ctnetlink.
  public mutating func entries() throws(NetlinkError) -> [ConntrackEntry] {
    try dump().compactMap(ConntrackEntry.init)
  }

  private mutating func dump() throws(NetlinkError) -> [ReceivedMessage] {
    try socket.dump(
      NetlinkRequest(type: ConntrackMessage.get, flags: .request, operation: "list connections") {
        $0.netfilterHeader(0)
      })
  }

  /// Forgets connections that were listed, in one `sendmsg` for every 128. One that is gone is no error, and one that has
  /// come in its place since stays.
  public mutating func delete(_ entries: [ConntrackEntry]) throws(NetlinkError) {
    for start in stride(from: 0, to: entries.count, by: 128) {
      let requests = entries[start..<min(start + 128, entries.count)].map { entry in
        NetlinkRequest(
          type: ConntrackMessage.delete, flags: [.request, .acknowledge], operation: "delete connection"
        ) {
          entry.encodeReference(into: &$0)
        }
      }
      for error in try attempt(requests) where !error.isNotFound { throw error }
    }
  }

  /// Forgets all connections that one of the filters means: one message for each filter, all in one `sendmsg`. A kernel
  /// that deletes only what it is given by name, as all before Linux 6.11, is asked for the names first.
  ///
  /// A kernel without ctnetlink has none, which is no error.
  public mutating func deleteAll(matching filters: [ConntrackFilter]) throws(NetlinkError) {
    // Who is told less than is meant may list, but not delete.
    let direct = filters.filter { $0.namesTuple && $0 == $0.forKernel }
    var rest = filters.filter { !($0.namesTuple && $0 == $0.forKernel) }
    let requests = direct.map { filter in
      NetlinkRequest(
        type: ConntrackMessage.delete, flags: [.request, .acknowledge], operation: "delete connections"
      ) {
        filter.encode(into: &$0)
      }
    }
    for error in try attempt(requests) {
      if Self.isUnknownFilter(error) {
        rest.append(direct[error.requestIndex ?? 0])
      } else if !error.isNotFound {
        throw error
      }
    }
    while let told = rest.first?.forKernel {
      // Of what differs only in what the kernel is not told, one list is enough.
      let filters = rest.filter { $0.forKernel == told }
      rest.removeAll { $0.forKernel == told }
      let found: [ConntrackEntry]
      do {
        found = try entries(matching: told)
      } catch {
        if Self.isUnknownFilter(error) { return }
        throw error
      }
      try delete(found.filter { entry in filters.contains { $0.matches(entry) } })
    }
  }

  /// What older kernels say to half a tuple, or to a filter that is to delete, and all to a subsystem they do not have.
  private static func isUnknownFilter(_ error: NetlinkError) -> Bool {
    error.errno == .invalidArgument || error.isUnsupported
  }

  /// Sends the requests, and gives what failed, each with the index of its request.
  private mutating func attempt(_ requests: [NetlinkRequest]) throws(NetlinkError) -> [NetlinkError] {
    if requests.isEmpty { return [] }
    let first = socket.reserveSequences(requests.count)
    var builder = MessageBuilder(capacity: requests.count * 128)
    for (index, request) in requests.enumerated() {
      builder.message(type: request.type, flags: request.flags, sequence: first + UInt32(index)) {
        $0.append(bytes: request.body)
      }
    }
    let awaiting = [NetlinkCompletion](repeating: .acknowledgement, count: requests.count)
    let result = try socket.exchange(
      builder.bytes, first: first, awaiting: awaiting, operation: requests[0].operation)
    return result.failures.map {
      let index = Int($0.sequence - first)
      return $0.error(operation: requests[index].operation.description, index: index)
    }
  }
}

extension ConntrackSocket {
  /// Runs `body`, which forgets connections; where the kernel has no netfilter there are none.
  public static func ifAvailable(
    _ body: (inout ConntrackSocket) throws(NetlinkError) -> Void
  ) throws(NetlinkError) {
    do {
      var socket = try ConntrackSocket()
      try body(&socket)
    } catch  where error.errno == .protocolNotSupported || error.errno == .addressFamilyNotSupported {}
  }
}
