import Glibc
import LinuxNetworking
import TestSupport
import Testing

@Suite struct FileHoldTests {
  @Test func oneHoldsAFileUntilItLetsGo() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/file"
      #expect(!FileHold.isHeld(path) && FileHold(path).descriptor == -1)
      try StateFile.write([1], to: path)
      #expect(!FileHold.isHeld(path))
      do {
        let hold = FileHold(path)
        #expect(hold.descriptor >= 0 && FileHold.isHeld(path))
        // Nobody else gets it; whoever only looks takes nothing.
        #expect(FileHold(path).descriptor == -1 && FileHold.isHeld(path))
        // A file that takes its place is another one.
        try StateFile.write([2], to: path)
        #expect(!FileHold.isHeld(path))
      }
      #expect(FileHold(path).descriptor >= 0)
    }
  }
}
