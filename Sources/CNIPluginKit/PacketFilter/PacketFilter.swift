import CNI
import Netlink
import SystemPackage

/// What all that keep rules in the kernel's nf_tables have in common.
public enum PacketFilter {
  /// Runs `body`, which looks for rules, or removes them. In a kernel without nf_tables there are none: that must not
  /// keep an attachment from being removed.
  public static func ifAvailable(_ body: (inout NetfilterSocket) throws -> Void) throws {
    do {
      var socket = try NetfilterSocket()
      try body(&socket)
    } catch let error as NetlinkError where isMissing(after: error) {
      return
    }
  }

  /// Whether an error means that the kernel has no nf_tables. It has many words for that: no such protocol without
  /// nfnetlink, and an invalid request where nfnetlink does not know whom to hand it to. So it is asked for the least.
  private static func isMissing(after error: NetlinkError) -> Bool {
    switch error.errno {
    case .protocolNotSupported, .addressFamilyNotSupported: return true
    case .invalidArgument, .notSupportedOnSocket:
      do throws(NetlinkError) {
        var socket = try NetfilterSocket()
        _ = try socket.generation()
        return false
      } catch { return error.errno == .invalidArgument || error.isUnsupported }
    default: return false
    }
  }

  /// Throws code 50 when nf_tables is not in the kernel.
  ///
  /// - Parameter otherwise: What to do instead, as it completes "load the kernel module nf_tables, or …".
  public static func checkAvailability(otherwise: String) throws(CNIError) {
    do {
      var socket = try NetfilterSocket()
      _ = try socket.generation()
    } catch {
      throw CNIError(
        .notAvailable, "nf_tables is not usable: \(error)",
        details: "load the kernel module nf_tables, or " + otherwise)
    }
  }

  /// What `body` gives; nil if what it asks for is not there.
  public static func absentAsNil<R>(_ body: () throws(NetlinkError) -> R) throws(NetlinkError) -> R? {
    do { return try body() } catch  where error.isNotFound { return nil }
  }

  /// Removes a table without chains, unless something comes into it at the same time.
  static func removeIfEmpty(_ table: Table, from socket: inout NetfilterSocket) throws(NetlinkError) {
    guard try absentAsNil({ () throws(NetlinkError) in try socket.chains(in: table) })?.isEmpty == true else {
      return
    }
    var transaction = NFTransaction()
    transaction.delete(table, ifEmpty: true)
    _ = try socket.commit(transaction, unless: { $0.isNotFound || $0.errno == .resourceBusy })
  }
}
