import CNI
import CNIExecution
import LinuxNetworking
import Netlink
import SystemPackage

extension CNIError {
  /// Any error that a plugin's step threw, as the specification's: errors that are one already keep their code.
  public init(describing error: any Error) {
    switch error {
    case let error as CNIError: self = error
    case let error as PluginFailure: self = error.cniError
    case let error as NetlinkError:
      self.init(.internalError, error.description, details: Self.missingPrivilege(after: error.errno))
    case let error as NamespaceError: self.init(describing: error)
    case let error as FileError:
      self.init(.ioFailure, error.description, details: Self.missingPrivilege(after: error.errno))
    default: self.init(.internalError, String(describing: error))
    }
  }

  /// A namespace that is gone means that the container is (code 3); one that is none is a wrong `CNI_NETNS` (code 4).
  private init(describing error: NamespaceError) {
    switch error {
    case .gone: self.init(.unknownContainer, error.description)
    case .notANamespace: self.init(.invalidEnvironment, "CNI_NETNS: " + error.description)
    case .denied(_, let errno):
      self.init(.internalError, error.description, details: Self.missingPrivilege(after: errno))
    case .failed: self.init(.internalError, error.description)
    }
  }

  /// Which privilege is missing, when the kernel refused with `EPERM` or `EACCES`.
  private static func missingPrivilege(after errno: Errno) -> String {
    guard errno == .notPermitted || errno == .permissionDenied else { return "" }
    return Privileges.explanation(needed: [.netAdmin, .sysAdmin]) ?? ""
  }
}
