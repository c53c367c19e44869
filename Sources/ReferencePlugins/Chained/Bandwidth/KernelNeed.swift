import CNI
import Glibc
import Netlink

/// What of the kernel shaping needs, each of which may be a module of its own.
enum KernelNeed: CaseIterable {
  case tbf, ifb, ingress, mirred

  private var module: (name: String, what: String) {
    switch self {
    case .tbf: ("sch_tbf", "qdisc tbf")
    case .ifb: ("ifb", "ifb interfaces")
    case .ingress: ("sch_ingress", "qdisc ingress")
    case .mirred: ("act_mirred", "action mirred")
    }
  }

  /// The error that it is not there.
  var missing: CNIError {
    CNIError(
      .internalError, "this kernel has no \(module.what)",
      details: "load its module \(module.name) (`modprobe \(module.name)`), or run a kernel that has it")
  }

  /// A request that makes nothing, and whose refusal tells whether the kernel knows the thing.
  private var probe: RouteRequest {
    // The loopback interface, number 1 in every namespace.
    switch self {
    case .tbf: .traffic(.probeQdisc(link: 1, parent: .root, kind: "tbf"))
    // No link can have that name; but first comes the question what would make it.
    case .ifb: .createLink(LinkSpecification(name: ".", kind: .ifb))
    case .ingress: .traffic(.probeQdisc(link: 1, parent: .ingress, kind: "ingress"))
    case .mirred: .traffic(.probeAction(kind: "mirred"))
    }
  }

  /// Throws for the first thing that is missing.
  static func checkAll() throws {
    var host = try RouteSocket()
    for (need, answer) in zip(allCases, try host.results(of: allCases.map(\.probe))) {
      guard case .failure(let error) = answer else { continue }
      switch error.errno.rawValue {
      case ENOENT: throw need.missing
      case EOPNOTSUPP where need == .ifb: throw need.missing
      case EINVAL, EEXIST, EOPNOTSUPP: continue
      default: throw error
      }
    }
  }

  /// What a failed request lacked, in words; `nil` if it was something else.
  static func explanation(of error: NetlinkError, for request: RouteRequest) -> CNIError? {
    guard error.errno.rawValue == ENOENT else { return nil }
    switch request {
    case .traffic(.addQdisc(let qdisc, _)):
      return (qdisc.kind.name == "tbf" ? KernelNeed.tbf : .ingress).missing
    case .traffic(.addFilter):
      return CNIError(
        .internalError, error.description,
        details:
          "load the modules cls_u32 and act_mirred (`modprobe -a cls_u32 act_mirred`), or run a kernel that has them"
      )
    default: return nil
    }
  }
}
