/// The addresses from one to another, both included, of one family.
public struct IPRange: Hashable, Sendable {
  /// The first address.
  public let lower: IPAddress
  /// The last address, not less than the first.
  public let upper: IPAddress

  /// A range; `nil` if the addresses are of different families or in the wrong order.
  public init?(_ lower: IPAddress, _ upper: IPAddress) {
    guard lower.family == upper.family, lower <= upper else { return nil }
    self.init(unchecked: lower, upper)
  }

  init(unchecked lower: IPAddress, _ upper: IPAddress) {
    self.lower = lower
    self.upper = upper
  }

  /// The addresses' family.
  public var family: AddressFamily { lower.family }

  /// Whether the address is in the range. An address of the other family is not.
  public func contains(_ address: IPAddress) -> Bool { lower <= address && address <= upper }

  /// Whether some address is in both ranges.
  public func overlaps(_ other: IPRange) -> Bool {
    lower.family == other.family && lower <= other.upper && other.lower <= upper
  }

  /// The number of addresses. The range of all IPv6 addresses has one more than the type can hold, and gives its
  /// greatest number.
  public var count: UInt128 {
    let distance = upper.numericValue - lower.numericValue
    return distance == .max ? .max : distance + 1
  }
}

extension IPRange: CustomStringConvertible {
  /// `lower-upper`.
  public var description: String { lower.description + "-" + upper.description }
}
