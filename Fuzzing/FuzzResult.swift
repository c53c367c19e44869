// What plugins print: results of all versions, errors, and answers to VERSION. What is accepted must survive being
// written and read again.
import CNI

/// One input; a broken invariant ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzResult(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  if let error = CNIError.parse(bytes) {
    precondition(CNIError.parse(error.serialized(version: .latest)) == error, "an error changed on its way")
  }
  guard let json = try? JSONValue.parse(bytes) else { return 0 }
  if let info = try? VersionInfo.decode(json) {
    precondition((try? VersionInfo.decode(info.encode())) == info, "an answer to VERSION changed on its way")
  }
  for version in [nil, SpecVersion.v0_4_0, .latest] {
    guard let result = try? AddResult.decode(json, version: version) else { continue }
    check(result)
  }
  return 0
}

private func check(_ result: AddResult) {
  guard let newest = try? result.encode(as: .latest), let again = try? AddResult.decode(newest) else {
    fatalError("the newest version cannot express a result")
  }
  precondition(again == result, "a result changed on its way")
  for version in SpecVersion.allCases {
    guard let json = try? result.encode(as: version) else {
      precondition(version <= .v0_2_0 && result.ips.isEmpty, "a version cannot express a result")
      continue
    }
    guard let older = try? AddResult.decode(JSONValue.parse(json.serialized())) else {
      fatalError("what was encoded cannot be decoded")
    }
    precondition(
      (try? older.encode(as: version)) == json, "the same version gives something else the second time")
  }
}
