import SystemPackage

/// An `NLMSG_ERROR` (or the `NLMSG_DONE` of a dump that failed) with what the extended acknowledgement adds.
public struct NetlinkFailure: Hashable, Sendable {
  /// The sequence number of the request that failed.
  public let sequence: UInt32
  /// The error number, positive.
  public let errno: Errno
  /// `NLMSGERR_ATTR_MSG`.
  public internal(set) var message: String?
  /// `NLMSGERR_ATTR_OFFS`: bytes from the start of the refused message to the attribute meant.
  public internal(set) var attributeOffset: Int?
  /// `NLMSGERR_ATTR_MISS_TYPE`.
  public internal(set) var missingAttribute: UInt16?
  /// `NLMSGERR_ATTR_MISS_NEST`.
  public internal(set) var missingAttributeNest: Int?

  init(sequence: UInt32, errno: Errno, message: String? = nil) {
    self.sequence = sequence
    self.errno = errno
    self.message = message
  }

  /// The error number of an `NLMSG_ERROR` or `NLMSG_DONE`, positive, 0 for success.
  static func number(in payload: UnsafeRawBufferPointer) -> Int32 {
    guard payload.count >= 4 else { return 0 }
    let value = payload.loadUnaligned(as: Int32.self)
    return value == .min ? .max : abs(value)
  }

  /// Reads a failed `NLMSG_ERROR` or `NLMSG_DONE`; `payload` begins with the error number.
  init(type: UInt16, flags: NetlinkMessageFlags, sequence: UInt32, payload: UnsafeRawBufferPointer) {
    self.init(sequence: sequence, errno: Errno(rawValue: Self.number(in: payload)))
    guard flags.contains(.acknowledgementAttributes) else { return }
    // An error repeats the request's header, and unless capped its payload too; the end of a dump does not.
    var offset = 4
    if type == NetlinkControlType.error {
      guard payload.count >= 20 else { return }
      let length = Int(payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      offset += flags.contains(.capped) ? MessageHeader.size : max((length + 3) & ~3, MessageHeader.size)
    }
    guard offset < payload.count else { return }
    for attribute in Attributes(Array(payload[offset...])[...]) {
      switch attribute.type {
      case 1: message = attribute.string
      case 2: attributeOffset = attribute.integer(as: UInt32.self).map(Int.init)
      case 5: missingAttribute = attribute.integer(as: UInt32.self).map(UInt16.init(truncatingIfNeeded:))
      case 6: missingAttributeNest = attribute.integer(as: UInt32.self).map(Int.init)
      default: break
      }
    }
  }

  /// Reads a message; nil unless it is an `NLMSG_ERROR` or `NLMSG_DONE` with an error number.
  public init?(_ message: ReceivedMessage) {
    guard message.type == NetlinkControlType.error || message.type == NetlinkControlType.done else {
      return nil
    }
    let failure = message.payload.withUnsafeBytes { payload in
      NetlinkFailure.number(in: payload) == 0
        ? nil
        : NetlinkFailure(
          type: message.type, flags: message.flags, sequence: message.sequence, payload: payload)
    }
    guard let failure else { return nil }
    self = failure
  }

  /// The failure as an error of `operation`; `request` is the refused message, in which the attribute meant is
  /// looked up.
  public func error(operation: String, request: ArraySlice<UInt8>? = nil, index: Int? = nil) -> NetlinkError {
    var error = NetlinkError(errno: errno, message: message, operation: operation, requestIndex: index)
    error.attributeOffset = attributeOffset
    error.missingAttribute = missingAttribute
    error.missingAttributeNest = missingAttributeNest
    if let attributeOffset, let request, attributeOffset <= request.count - 4 {
      error.attributeType = request.dropFirst(attributeOffset).withUnsafeBytes {
        $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self) & Attribute.typeMask
      }
    }
    return error
  }
}
