/// Steps that are all taken, whatever becomes of those before, as DEL and GC take them: what went wrong first is thrown
/// in the end.
///
/// ```swift
/// var steps = EveryStep()
/// steps.attempt { try removeRules() }
/// steps.attempt { try removeFiles() }
/// try steps.finish()
/// ```
/// What throws outside of `attempt` takes the place of a failure before it: between the first step and `finish` nothing
/// should. The counterpart for ADD, which stops at a failure and takes back what came before, is ``UndoLog``.
public struct EveryStep {
  private var firstFailure: (any Error)?

  /// Nothing has been done yet.
  public init() {}

  /// Whether every step so far has succeeded: for a step that must not be taken otherwise.
  public var hasSucceeded: Bool { firstFailure == nil }

  /// Takes a step. If it fails, the next one is taken all the same.
  public mutating func attempt(_ step: () throws -> Void) {
    do { try step() } catch { if firstFailure == nil { firstFailure = error } }
  }

  /// Ends the steps.
  ///
  /// - Throws: what the first step that failed has thrown.
  public func finish() throws {
    if let firstFailure { throw firstFailure }
  }
}
