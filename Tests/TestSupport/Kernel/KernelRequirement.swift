import Glibc
import Testing

/// Says what a test needs of the kernel. Where that is missing, the test is skipped, and written down for the run to
/// hand it to a kernel that has it (`make test` does, in a virtual machine).
public struct KernelRequirement: TestTrait, SuiteTrait {
  let features: [KernelFeature]
  /// Whether they have to be there, or to be missing.
  let present: Bool
  let sourceLocation: SourceLocation

  /// Also for the tests inside a suite.
  public var isRecursive: Bool { true }

  /// Skips the test, or lets it be.
  public func prepare(for test: Test) async throws {
    try await ConditionTrait.requiresRoot.prepare(for: test)
    let inTheWay = try features.filter { try $0.isPresent != present }
    if inTheWay.isEmpty { return }
    let names = inTheWay.map(\.rawValue).joined(separator: ", ")
    if !test.isSuite { try note(test, "\(present ? "with" : "without") \(names)") }
    // Its error is the only one that Swift Testing takes for "skip".
    let skipped = ConditionTrait.disabled(
      present ? "this kernel lacks \(names)" : "this kernel has \(names)", sourceLocation: sourceLocation)
    try await skipped.prepare(for: test)
  }

  /// Adds the test to the file that `TESTS_FOR_ANOTHER_KERNEL` names, if any: a line with what it needs of a kernel, a tab, and
  /// its identity as `swift test --filter` knows it.
  private func note(_ test: Test, _ need: String) throws {
    guard let path = getenv("TESTS_FOR_ANOTHER_KERNEL") else { return }
    guard let file = fopen(path, "ae") else { throw SetupError("open \(String(cString: path))") }
    fputs("\(need)\t\(test.id)\n", file)
    guard fclose(file) == 0 else { throw SetupError("write \(String(cString: path))") }
  }
}

extension Trait where Self == KernelRequirement {
  /// The test needs root (``requiresRoot`` is part of it) and a kernel with all of `features`.
  public static func requiresKernel(
    _ features: KernelFeature..., sourceLocation: SourceLocation = #_sourceLocation
  ) -> Self {
    Self(features: features, present: true, sourceLocation: sourceLocation)
  }

  /// The test needs root, and a kernel without any of `features`: it tests what is said where they are missing.
  public static func requiresKernel(
    without features: KernelFeature..., sourceLocation: SourceLocation = #_sourceLocation
  ) -> Self {
    Self(features: features, present: false, sourceLocation: sourceLocation)
  }
}
