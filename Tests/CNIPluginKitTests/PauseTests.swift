import CNIPluginKit
import Testing

@Suite("Waiting at growing distances") struct PauseTests {
  @Test func asksUntilItIsSo() {
    var asked = 0
    #expect(
      Pause.until(within: 60_000, longest: 2) {
        asked += 1
        return asked == 5
      })
    #expect(asked == 5)
  }

  @Test func asksTwiceAndGivesUp() {
    var asked = 0
    #expect(
      !Pause.until(within: 1, longest: 1) {
        asked += 1
        return false
      })
    #expect(asked >= 2)
  }

  @Test func throwsWhatTheQuestionThrows() {
    struct Refused: Error {}
    #expect(throws: Refused.self) { try Pause.until(within: 1, longest: 1) { throw Refused() } }
  }
}
