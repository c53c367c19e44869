import CNI

/// Whatever the bytes: they are a result of some version, or an error. A result that can be told in a version is the
/// same after it has been told.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = [UInt8](UnsafeBufferPointer(start: start, count: count))
  guard let json = try? JSONValue.parse(bytes) else { return 0 }
  _ = CNIError(json: json)
  for assumed in SpecVersion.allCases {
    guard let result = try? AddResult.decode(json, version: assumed) else { continue }
    for version in SpecVersion.allCases {
      guard let told = try? result.encode(as: version) else { continue }
      guard let again = try? AddResult.decode(told), let retold = try? again.encode(as: version) else {
        fatalError("a result of ours is not read again as \(version)")
      }
      precondition(told == retold, "a result changes by being told in \(version)")
    }
  }
  return 0
}
