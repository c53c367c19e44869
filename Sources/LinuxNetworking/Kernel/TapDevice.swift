import CLinux
import Glibc
import SystemPackage

/// A TAP device: an interface whose frames a process reads and writes (`tuntap.rst` of the kernel's documentation).
/// Netlink cannot make one.
public struct TapDevice: Hashable, Sendable {
  /// The file that leads to the driver.
  public static let controlFile = "/dev/net/tun"

  /// The interface's name.
  public var name: String
  /// Whether several descriptors can be attached to it, each a queue (`IFF_MULTI_QUEUE`).
  public var isMultiQueue: Bool
  /// The user ID that may attach without privileges; `nil`: whoever may open the driver's file, unless there is a group.
  public var owner: UInt32?
  /// The group ID likewise.
  public var group: UInt32?

  /// A device that is to be made.
  public init(name: String, isMultiQueue: Bool = false, owner: UInt32? = nil, group: UInt32? = nil) {
    self.name = name
    self.isMultiQueue = isMultiQueue
    self.owner = owner
    self.group = group
  }

  /// Makes the device in the calling thread's network namespace; it stays until its link is deleted. After an error
  /// there is none.
  ///
  /// - Throws: `FileError`: of the driver's file when that cannot be opened, of the device else (`EBUSY` when an
  ///   interface of that name is there).
  public func create() throws(FileError) {
    let driver = try Self.openDriver()
    // Until it is persistent, it goes with the descriptor.
    defer { close(driver) }
    func require(_ result: CInt, _ operation: String) throws(FileError) {
      if result != 0 { throw FileError(path: name, operation: operation, errno: .last) }
    }
    try require(clinux_tap_create(driver, name, isMultiQueue ? 1 : 0), "create the TAP device")
    if let owner { try require(clinux_tun_set_owner(driver, owner), "set the owner of the TAP device") }
    if let group { try require(clinux_tun_set_group(driver, group), "set the group of the TAP device") }
    try require(clinux_tun_set_persistent(driver), "keep the TAP device")
  }

  /// Throws what `create` would if there is no driver, or it may not be used.
  public static func checkDriver() throws(FileError) { close(try openDriver()) }

  private static func openDriver() throws(FileError) -> CInt {
    switch openDescriptor(controlFile, O_RDWR) {
    case .success(let descriptor): return descriptor
    case .failure(let errno): throw FileError(path: controlFile, operation: "open", errno: errno)
    }
  }
}
