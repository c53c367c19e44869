/// The released versions of the CNI specification.
public enum SpecVersion: String, CaseIterable, Sendable, Hashable {
  /// The first: one IPv4 and one IPv6 address.
  case v0_1_0 = "0.1.0"
  /// Adds VERSION.
  case v0_2_0 = "0.2.0"
  /// Chains of plugins; results with interfaces and any number of addresses.
  case v0_3_0 = "0.3.0"
  /// As 0.3.0, corrected.
  case v0_3_1 = "0.3.1"
  /// Adds CHECK, and `prevResult` for DEL.
  case v0_4_0 = "0.4.0"
  /// Lists only; addresses without their family.
  case v1_0_0 = "1.0.0"
  /// Adds GC, STATUS and several keys of results.
  case v1_1_0 = "1.1.0"

  /// The newest version.
  public static let latest = SpecVersion.v1_1_0

  /// The version of a configuration or result: no version, or an empty one, means 0.1.0, which had no such key.
  /// - Throws: code 1 for a version that is not one of these.
  public init(configured text: String?) throws(CNIError) {
    guard let text, !text.isEmpty else {
      self = .v0_1_0
      return
    }
    guard let version = SpecVersion(rawValue: text) else { throw .incompatibleVersion(text) }
    self = version
  }

  /// Whether a runtime may call CHECK: since 0.4.0.
  public var supportsCheck: Bool { self >= .v0_4_0 }
  /// Whether a runtime calls GC: since 1.1.0.
  public var supportsGC: Bool { self >= .v1_1_0 }
  /// Whether a runtime calls STATUS: since 1.1.0.
  public var supportsStatus: Bool { self >= .v1_1_0 }
  /// Whether DEL is given the result of ADD: since 0.4.0.
  public var passesPrevResultOnDel: Bool { self >= .v0_4_0 }
}

extension SpecVersion: Comparable {
  private var rank: Int {
    switch self {
    case .v0_1_0: 0
    case .v0_2_0: 1
    case .v0_3_0: 2
    case .v0_3_1: 3
    case .v0_4_0: 4
    case .v1_0_0: 5
    case .v1_1_0: 6
    }
  }

  /// The order in which the versions appeared.
  public static func < (a: SpecVersion, b: SpecVersion) -> Bool { a.rank < b.rank }
}

extension SpecVersion: CustomStringConvertible {
  /// `1.1.0`.
  public var description: String { rawValue }
}

extension SpecVersion {
  /// The highest of these versions, as texts, that is one of `allCases`; `nil` if none is.
  public static func highest(of texts: some Sequence<String>) -> SpecVersion? {
    texts.lazy.compactMap { SpecVersion(rawValue: $0) }.max()
  }

  /// Whether a text has the form of a version: one to three plain numbers with dots.
  static func isWellFormed(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return parts.count <= 3
      && parts.allSatisfy { part in
        !part.isEmpty && part.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
      }
  }
}
