/// The `nlmsg_flags` of a message header (`linux/netlink.h`). Bits above 0x80 mean different things for
/// requests that read, requests that create, requests that delete, and acknowledgements.
public struct NetlinkMessageFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public var rawValue: UInt16

  /// Takes the bits as they are on the wire.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `NLM_F_REQUEST`: the message goes to the kernel.
  public static let request = Self(rawValue: 0x1)
  /// `NLM_F_MULTI`: one of several messages that `NLMSG_DONE` ends.
  public static let multipart = Self(rawValue: 0x2)
  /// `NLM_F_ACK`: answer with `NLMSG_ERROR` also when all went well.
  public static let acknowledge = Self(rawValue: 0x4)
  /// `NLM_F_ECHO`: send what was made of the request back.
  public static let echo = Self(rawValue: 0x8)
  /// `NLM_F_DUMP_INTR`: the table changed while it was being dumped.
  public static let dumpInterrupted = Self(rawValue: 0x10)
  /// `NLM_F_DUMP_FILTERED`: the kernel applied the filter that was asked for.
  public static let dumpFiltered = Self(rawValue: 0x20)

  /// `NLM_F_ROOT`, of a request that reads: the whole table.
  public static let root = Self(rawValue: 0x100)
  /// `NLM_F_MATCH`, of a request that reads: everything that matches.
  public static let match = Self(rawValue: 0x200)
  /// `NLM_F_DUMP`: both of the above.
  public static let dump = Self(rawValue: 0x300)

  /// `NLM_F_REPLACE`, of a request that creates: override what exists.
  public static let replace = Self(rawValue: 0x100)
  /// `NLM_F_EXCL`, of a request that creates: fail if it exists.
  public static let exclusive = Self(rawValue: 0x200)
  /// `NLM_F_CREATE`, of a request that creates: make it if it does not exist.
  public static let create = Self(rawValue: 0x400)
  /// `NLM_F_APPEND`, of a request that creates: add to the end of the list.
  public static let append = Self(rawValue: 0x800)

  /// `NLM_F_NONREC`, of a request that deletes: do not delete what is inside.
  public static let nonRecursive = Self(rawValue: 0x100)
  /// `NLM_F_BULK`, of a request that deletes: several objects.
  public static let bulk = Self(rawValue: 0x200)

  /// `NLM_F_CAPPED`, of an acknowledgement: the request's payload is not repeated in it.
  public static let capped = Self(rawValue: 0x100)
  /// `NLM_F_ACK_TLVS`, of an acknowledgement: it carries attributes (the extended acknowledgement).
  public static let acknowledgementAttributes = Self(rawValue: 0x200)
}

/// Message types that every netlink family shares (`linux/netlink.h`).
public enum NetlinkControlType {
  /// `NLMSG_NOOP`: to be skipped.
  public static let noOperation: UInt16 = 1
  /// `NLMSG_ERROR`: an error, or with error number 0 an acknowledgement.
  public static let error: UInt16 = 2
  /// `NLMSG_DONE`: the end of a multipart answer.
  public static let done: UInt16 = 3
  /// `NLMSG_OVERRUN`: data was lost.
  public static let overrun: UInt16 = 4
}
