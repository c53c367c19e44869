/// What a plugin answers to VERSION: the versions of the specification that it supports.
public struct VersionInfo: Sendable, Hashable {
  /// The version of the specification that the answer itself conforms to.
  public var version: String
  /// The supported versions as texts, because a plugin may support some that this library does not know.
  public var supported: [String]

  /// An answer in the newest version.
  public init(supported: [String] = SpecVersion.allCases.map(\.rawValue)) {
    version = SpecVersion.latest.rawValue
    self.supported = supported
  }

  /// The supported versions that this library knows.
  public var knownVersions: [SpecVersion] { supported.compactMap { SpecVersion(rawValue: $0) } }

  /// Whether the plugin supports a version.
  public func supports(_ version: SpecVersion) -> Bool { supported.contains(version.rawValue) }

  /// The answer as JSON.
  public func encode() -> JSONValue {
    ["cniVersion": .string(version), "supportedVersions": .array(supported.map { .string($0) })]
  }

  /// Reads an answer. One of version 0.2.0 may have no list, and then means 0.1.0 and 0.2.0.
  /// - Throws: code 6 if `cniVersion` is missing, or in any other version the list.
  public static func decode(_ json: JSONValue) throws(CNIError) -> VersionInfo {
    let reply = try ConfigurationObject(json, name: "VERSION reply", code: .decodingFailure)
    let version = try reply.requiredString("cniVersion")
    var info = VersionInfo(supported: try reply.strings("supportedVersions"))
    info.version = version
    if info.supported.isEmpty {
      guard version == SpecVersion.v0_2_0.rawValue else { throw reply.missing("supportedVersions") }
      info.supported = [SpecVersion.v0_1_0.rawValue, SpecVersion.v0_2_0.rawValue]
    }
    return info
  }
}
