/// What a request is for, in the words that follow "cannot" in an error: `create link "veth1a2b" (veth)`.
///
/// A value of plain strings, so that a request that succeeds never formats text.
public struct NetlinkOperation: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
  /// Verb and noun: `create link`.
  public var action: String
  /// The name of the thing, shown in quotes; empty if it has none.
  public var object: String
  /// The index of the interface meant, shown where there is no name.
  public var index: Int32?
  /// What sort of thing, shown in parentheses; may be empty.
  public var kind: String

  /// Names an operation by its parts.
  public init(_ action: String, _ object: String = "", index: Int32? = nil, kind: String = "") {
    self.action = action
    self.object = object
    self.index = index
    self.kind = kind
  }

  /// An operation that has only a verb and a noun.
  public init(stringLiteral value: String) { self.init(value) }

  /// The parts as one phrase.
  public var description: String {
    var text = action
    if !object.isEmpty { text += " \"\(object)\"" } else if let index { text += " \(index)" }
    if !kind.isEmpty { text += " (\(kind))" }
    return text
  }
}

/// A request to the kernel, ready but for its sequence number.
public struct NetlinkRequest: Sendable {
  /// `nlmsg_type`.
  public var type: UInt16
  /// `nlmsg_flags`; `.request` goes without saying. With `.acknowledge` the request is over when its
  /// acknowledgement is in. Without, when it was answered with one message, or with several and `NLMSG_DONE`.
  public var flags: NetlinkMessageFlags
  /// Everything behind the header.
  public var body: [UInt8]
  /// What it is for, in errors.
  public var operation: NetlinkOperation

  /// Takes a body as it is.
  public init(type: UInt16, flags: NetlinkMessageFlags, body: [UInt8], operation: NetlinkOperation) {
    self.type = type
    self.flags = flags
    self.body = body
    self.operation = operation
  }

  /// Takes what `build` writes as the body.
  public init(
    type: UInt16, flags: NetlinkMessageFlags, operation: NetlinkOperation,
    _ build: (inout MessageBuilder) -> Void
  ) {
    var builder = MessageBuilder(capacity: 128)
    build(&builder)
    self.init(type: type, flags: flags, body: builder.bytes, operation: operation)
  }
}

/// When a message that was sent is over.
public enum NetlinkCompletion: Sendable {
  /// When `NLMSG_ERROR` answers it, for success too: it carries `.acknowledge`.
  case acknowledgement
  /// When a message of the family answers it (or several, and `NLMSG_DONE`), or an error does.
  case answer
  /// At once. The kernel says nothing unless it fails: the frame of an nfnetlink batch, or a member of one that
  /// does not ask for an acknowledgement of its own.
  case silence
}

/// What came of the messages of one `exchange`.
public struct NetlinkExchange: Sendable {
  /// Those that failed, in the order in which the kernel said so.
  public internal(set) var failures: [NetlinkFailure] = []
  /// All messages that are neither errors nor acknowledgements, in the order in which they came.
  public internal(set) var answers: [ReceivedMessage] = []
}
