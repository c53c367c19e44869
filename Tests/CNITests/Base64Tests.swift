import Testing

@testable import CNI

@Suite struct Base64Tests {
  /// RFC 4648, section 10.
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"),
  ])
  func vectors(_ plain: String, _ encoded: String) {
    #expect(Base64.encode(Array(plain.utf8)) == encoded)
    #expect(Base64.decode(encoded) == Array(plain.utf8))
  }

  @Test func everyByte() {
    let bytes = (0...255).map { UInt8($0) }
    #expect(Base64.decode(Base64.encode(bytes)) == bytes)
    #expect(Base64.decode("+/+/\nAAAA\r\n") == [0xfb, 0xff, 0xbf, 0, 0, 0])
  }

  @Test(arguments: ["Z", "Zg", "Zg=", "Zg===", "====", "Zg==Zg==", "Z===", "Zm9v!", "Zm9-", "=Zm9"])
  func malformed(_ text: String) {
    #expect(Base64.decode(text) == nil)
  }
}
