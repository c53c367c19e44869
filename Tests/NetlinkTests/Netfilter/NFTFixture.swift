import Glibc

@testable import Netlink

/// What `nft` sent for some lines: see `Golden/nft/capture-nft.sh`.
struct NFTFixture {
  /// One netlink message each, without the frame of the batch.
  var messages: [[UInt8]] = []
  /// What nft was given.
  var lines: [String] = []

  init(_ name: String) throws {
    let path =
      "\(#filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined())/Golden/nft/\(name).txt"
    for line in try Self.read(path).split(separator: "\n") {
      if line.hasPrefix("# setup: ") { continue }
      if line.hasPrefix("# ") {
        lines.append(String(line.dropFirst(2)))
      } else {
        messages.append(Self.bytes(line))
      }
    }
    messages.removeFirst()
    messages.removeLast()
  }

  private static func read(_ path: String) throws -> String {
    struct Missing: Error { var path: String }
    guard let file = fopen(path, "r") else { throw Missing(path: path) }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  private static func bytes(_ hex: Substring) -> [UInt8] {
    let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
  }

  /// The messages without what may differ: sequence numbers, and the request for an acknowledgement, which nft
  /// makes for none and we for the last. nft brings the elements of one set into an order of its own, so the
  /// order of messages does not count.
  static func comparable(_ messages: [[UInt8]]) -> [String] {
    messages.map { message in
      var message = message
      message[6] &= ~4
      for index in 8..<12 { message[index] = 0 }
      return message.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }.sorted()
  }
}
