import NetworkAddresses
import Testing

@testable import CNI

/// Runs a body that has to fail with an error of this module, and returns the error.
func failure(_ body: () throws -> Void, _ location: SourceLocation = #_sourceLocation) -> CNIError {
  do { try body() } catch let error as CNIError { return error } catch {
    Issue.record("another error: \(error)", sourceLocation: location)
  }
  Issue.record("no error", sourceLocation: location)
  return CNIError(.init(rawValue: 0), "")
}

@Suite struct ConfigurationObjectTests {
  static let text = """
    {
      "cniVersion": "1.0.0",
      "name": "pods",
      "plugins": [
        {
          "type": "bridge",
          "MTU": "1500",
          "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0/8", "gateway": ""}]]}
        }
      ]
    }
    """

  private func bridge(recording: Bool = false) throws -> ConfigurationObject {
    let json = try JSONValue.parse(Self.text)
    let root = try ConfigurationObject(json, name: "/etc/cni/net.d/10-x.conflist", recordingKeys: recording)
    return try #require(try root.objects("plugins").first)
  }

  @Test func errorsNamePathAndPlace() throws {
    let bridge = try bridge()
    let error = failure {
      let ranges = try bridge.object("ipam")?.list("ranges") ?? []
      _ = try ranges[0].list()[0].object().prefix("subnet")
    }
    #expect(error.code == .invalidConfiguration)
    #expect(
      error.message
        == #"plugins[0].ipam.ranges[0][0].subnet: "10.0.0/8" is not a subnet (/etc/cni/net.d/10-x.conflist line 8, column 61)"#
    )
    #expect(error.details == "write it as address/length, for example 10.0.0.0/8")
  }

  @Test func wrongTypesAreDecodingFailures() throws {
    let bridge = try bridge()
    let error = failure { _ = try bridge.integer("mtu", in: 0...65535) }
    #expect(error.code == .decodingFailure)
    #expect(
      error.message
        == #"plugins[0].MTU: expected a number, not the string "1500" (/etc/cni/net.d/10-x.conflist line 7, column 14)"#
    )
    #expect(error.details == "remove the quotation marks")
  }

  @Test func emptyIsAbsent() throws {
    let range = try #require(try bridge().object("ipam")?.list("ranges")[0].list()[0].object())
    #expect(try range.address("gateway") == nil)
    #expect(try range.string("gateway") == nil)
    #expect(try range.text("gateway") == "")
    #expect(try range.string("nothing") == nil)
  }

  @Test func unknownKeysAreKnown() throws {
    let bridge = try bridge(recording: true)
    _ = try bridge.string("type")
    _ = try bridge.object("ipam")?.string("type")
    #expect(bridge.unknownKeys.map(\.path) == ["plugins[0].MTU", "plugins[0].ipam.ranges"])
    #expect(bridge.unknownKeys[0].position == SourcePosition(line: 7, column: 7))
  }
}
