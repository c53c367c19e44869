// Filters that match everything, and what they do with it. Attributes of linux/pkt_cls.h.

extension TrafficKind {
  /// u32 that matches every packet.
  ///
  /// - Parameters:
  ///   - classID: The class that the packets are of, if nothing else becomes of them.
  ///   - actions: What becomes of them.
  public static func u32(matchingAllInto classID: TrafficHandle? = nil, actions: [TrafficAction] = [])
    -> TrafficKind
  {
    TrafficKind("u32") { options in
      options.attribute(1, ifPresent: classID?.rawValue)
      TrafficAction.encode(actions, type: 7, into: &options)
      // TCA_U32_SEL: struct tc_u32_sel with one key that compares no bit; flags: TC_U32_TERMINAL.
      options.attribute(5, bytes: [1, 0, 1] + [UInt8](repeating: 0, count: 29))
    }
  }

  /// matchall.
  ///
  /// - Parameters:
  ///   - classID: The class that the packets are of, if nothing else becomes of them.
  ///   - actions: What becomes of them.
  public static func matchAll(classID: TrafficHandle? = nil, actions: [TrafficAction] = []) -> TrafficKind {
    TrafficKind("matchall") { options in
      options.attribute(1, ifPresent: classID?.rawValue)
      TrafficAction.encode(actions, type: 2, into: &options)
    }
  }
}

/// What a filter does with a packet (`linux/tc_act/`).
public enum TrafficAction: Hashable, Sendable {
  /// mirred with `TCA_EGRESS_REDIR`: the link with that index sends it, and that is all. 0 when read: that link is gone,
  /// and the packet is dropped.
  case redirect(to: Int32)
  /// mirred with `TCA_EGRESS_MIRROR`: the link with that index sends a copy.
  case mirror(to: Int32)
  /// Something else, by the name of its kind.
  case other(String)

  static func encode(_ actions: [TrafficAction], type: UInt16, into builder: inout MessageBuilder) {
    guard !actions.isEmpty else { return }
    builder.nested(type, flagged: false) { list in
      for (index, action) in actions.enumerated() {
        list.nested(UInt16(index + 1), flagged: false) { action.encode(into: &$0) }
      }
    }
  }

  private func encode(into builder: inout MessageBuilder) {
    switch self {
    case .redirect(let link): Self.encodeMirred(4, 1, link, into: &builder)  // TC_ACT_STOLEN
    case .mirror(let link): Self.encodeMirred(3, 2, link, into: &builder)  // TC_ACT_PIPE
    case .other(let kind): builder.attribute(1, string: kind)
    }
  }

  private static func encodeMirred(
    _ verdict: Int32, _ what: Int32, _ link: Int32, into builder: inout MessageBuilder
  ) {
    builder.attribute(1, string: "mirred")
    builder.nested(2) { options in
      options.header(2, payload: 28)  // TCA_MIRRED_PARMS: struct tc_mirred
      options.append(UInt64(0))  // index, capab
      options.append(verdict)
      options.append(UInt64(0))  // refcnt, bindcnt
      options.append(what)
      options.append(link)
    }
  }

  /// Reads an action; nil for what has no kind.
  init?(_ attributes: Attributes) {
    guard let kind = attributes[1]?.string else { return nil }
    guard kind == "mirred", let settings = attributes[2]?.nested[2],
      let fields = FixedHeader(settings.value, size: 28)
    else {
      self = .other(kind)
      return
    }
    switch fields.load(20, as: Int32.self) {
    case 1: self = .redirect(to: fields.load(24))
    case 2: self = .mirror(to: fields.load(24))
    default: self = .other(kind)
    }
  }
}

extension TrafficFilter {
  /// Whether it is an entry of a dump that stands for all filters of its priority, or for a hash table of u32, and itself
  /// matches nothing.
  public var isStructure: Bool { kind.name == "u32" ? handle & 0xfff == 0 : handle == 0 }

  /// What it does with packets, in order; none for filters of kinds that are not here, and where it only says a class.
  public var actions: [TrafficAction] {
    let list: UInt16
    switch kind.name {
    case "u32": list = 7
    case "matchall": list = 2
    default: return []
    }
    guard let actions = kind.attributes[list] else { return [] }
    return actions.nested.compactMap { TrafficAction($0.nested) }
  }
}
