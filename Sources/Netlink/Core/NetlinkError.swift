import Glibc
import SystemPackage

/// What the kernel refused, and everything it said about why.
///
/// Reads like `cannot create link "br0" (bridge): Operation not permitted (EPERM): <the kernel's own words>`.
public struct NetlinkError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The error number.
  public var errno: Errno
  /// The kernel's own words, from the extended acknowledgement (`NLMSGERR_ATTR_MSG`); or, where the error arose
  /// on our side of the socket, ours.
  public var message: String?
  /// What was tried, to follow "cannot": `create link "veth1a2b" (veth)`.
  public var operation: String
  /// Where in the request the attribute lies that the kernel objects to: bytes from the start of the message
  /// (`NLMSGERR_ATTR_OFFS`).
  public var attributeOffset: Int?
  /// The type of the attribute at `attributeOffset`.
  public var attributeType: UInt16?
  /// The type of an attribute that the kernel wanted and did not find (`NLMSGERR_ATTR_MISS_TYPE`).
  public var missingAttribute: UInt16?
  /// Where in the request the nest lies that lacks `missingAttribute`; nil: the message itself
  /// (`NLMSGERR_ATTR_MISS_NEST`).
  public var missingAttributeNest: Int?
  /// Which request of a batch failed, counted from 0; nil if the batch as a whole did.
  public var requestIndex: Int?

  /// An error with nothing more to say than its number.
  public init(errno: Errno, message: String? = nil, operation: String, requestIndex: Int? = nil) {
    self.errno = errno
    self.message = message
    self.operation = operation
    self.requestIndex = requestIndex
  }

  /// The thing meant is not there: `ENODEV`, `ENOENT`, `ESRCH`, and for addresses `EADDRNOTAVAIL`.
  public var isNotFound: Bool {
    switch errno.rawValue {
    case ENODEV, ENOENT, ESRCH, EADDRNOTAVAIL: true
    default: false
    }
  }

  /// The thing to be made is already there: `EEXIST`.
  public var isExists: Bool { errno.rawValue == EEXIST }

  /// This kernel cannot do it, or was built without it: `EOPNOTSUPP`, and the `ENOTSUPP` that some of its drivers leak.
  public var isUnsupported: Bool { errno.rawValue == EOPNOTSUPP || errno.rawValue == 524 }

  /// One line: what was tried, the error's text and name, and what the kernel added.
  public var description: String {
    var text = "cannot \(operation): "
    if errno.rawValue == 524 {
      text += "Operation not supported (ENOTSUPP)"
    } else {
      text += errno.description
      if let name = errno.symbolicName { text += " (\(name))" }
    }
    if let message { text += ": \(message)" }
    if let attributeOffset {
      text += " (attribute"
      if let attributeType { text += " of type \(attributeType)" }
      text += " at byte \(attributeOffset) of the request)"
    }
    if let missingAttribute {
      text += " (attribute of type \(missingAttribute) missing"
      if let missingAttributeNest { text += " in the nest at byte \(missingAttributeNest)" }
      text += ")"
    }
    return text
  }
}
