import CNIPluginKit
import Testing

@Suite("Steps that are all taken")
struct EveryStepTests {
  private struct Failure: Error, Equatable { let step: Int }

  /// Takes steps 1 to 4, of which some fail.
  private func take(failing: Set<Int>) -> (taken: [Int], good: [Bool], failure: Failure?) {
    var steps = EveryStep()
    var taken: [Int] = []
    var good = [steps.hasSucceeded]
    for step in 1...4 {
      steps.attempt {
        taken.append(step)
        if failing.contains(step) { throw Failure(step: step) }
      }
      good.append(steps.hasSucceeded)
    }
    var failure: Failure?
    do { try steps.finish() } catch { failure = error as? Failure }
    return (taken, good, failure)
  }

  @Test("None fails: nothing is thrown")
  func success() throws {
    let outcome = take(failing: [])
    #expect(outcome.taken == [1, 2, 3, 4])
    #expect(outcome.good == [true, true, true, true, true])
    #expect(outcome.failure == nil)
    try EveryStep().finish()
  }

  @Test("All are taken, whichever fail, and the first failure is thrown")
  func failures() {
    for failing in [[1], [4], [2, 3], [1, 2, 3, 4]] {
      let outcome = take(failing: Set(failing))
      #expect(outcome.taken == [1, 2, 3, 4], "\(failing)")
      #expect(outcome.good == (0...4).map { $0 < failing[0] }, "\(failing)")
      #expect(outcome.failure == Failure(step: failing[0]), "\(failing)")
    }
  }
}
