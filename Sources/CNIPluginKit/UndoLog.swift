import CNI

/// What an ADD has changed so far, and how to take each change back.
///
/// A step registers its undo right after it took effect; before, where it cannot be sure to learn whether it did: then
/// the undo looks at what there is. When a later step fails, `rollBack` runs the undos in
/// reverse order; one that fails does not stop the others, and both the failure and what could not be undone end up
/// in one error. A plugin that succeeds simply lets the log go.
public struct UndoLog {
  private var steps: [(what: StaticString, undo: () throws -> Void)] = []

  /// An empty log.
  public init() {}

  /// Registers how to take back a change that has just been made.
  ///
  /// - Parameters:
  ///   - what: The change, as it completes the sentence "could not undo …": `creation of the veth pair`.
  ///   - undo: Takes it back; finding nothing to take back is not an error.
  public mutating func register(_ what: StaticString, _ undo: @escaping () throws -> Void) {
    steps.append((what, undo))
  }

  /// Forgets the step that was registered last: it has turned out to have changed nothing.
  public mutating func forget() { _ = steps.popLast() }

  /// Undoes every registered step, the newest first, and empties the log.
  ///
  /// - Returns: `error` as a `CNIError`, its details extended by whatever could not be undone.
  public mutating func rollBack(after error: any Error) -> CNIError {
    var failure = CNIError(describing: error)
    var leftovers: [String] = []
    while let step = steps.popLast() {
      do {
        try step.undo()
      } catch {
        leftovers.append("could not undo \(step.what): \(CNIError(describing: error))")
      }
    }
    if !leftovers.isEmpty {
      let report = leftovers.joined(separator: "; ")
      failure.details = failure.details.isEmpty ? report : failure.details + "; " + report
    }
    return failure
  }
}
