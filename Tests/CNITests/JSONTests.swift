import Testing

@testable import CNI

@Suite struct JSONTests {
  private func text(_ value: JSONValue, pretty: Bool = false) -> String {
    String(decoding: value.serialized(pretty: pretty), as: UTF8.self)
  }

  @Test(arguments: [
    "null", "true", "false", "0", "-0", "1.50", "1e3", "-12.5E+7", "123456789012345678901234567890", #""""#,
    #""a\"b\\c""#, "[]", "{}", "[1,[2,[3]],{}]", #"{"z":1,"a":{"y":[],"b":null},"A":2}"#, #""ä€😀""#,
    #""\u0000\u001f\n\t""#,
  ])
  func whatIsReadIsWrittenAgain(_ json: String) throws { #expect(text(try JSONValue.parse(json)) == json) }

  @Test func escapes() throws {
    let value = try JSONValue.parse(#""\u0041\u00e4\u20AC\ud83d\ude00\/\b\f\n\r\t\"\\ä\u2028""#)
    #expect(value.string == "Aä€😀/\u{8}\u{c}\n\r\t\"\\ä\u{2028}")
    #expect(text(.string("a\u{7f}\u{1}/<>&")) == "\"a\u{7f}\\u0001/<>&\"")
  }

  @Test func printsAsTheGoToolsDo() {
    let value: JSONValue = ["a": [1, []], "b": [:], "c": ["d": nil]]
    #expect(
      text(value, pretty: true) == """
        {
            "a": [
                1,
                []
            ],
            "b": {},
            "c": {
                "d": null
            }
        }
        """)
  }

  @Test(arguments: [
    ("", "line 1, column 1: the text is empty"), (" \n ", "line 2, column 2: the text is empty"),
    ("{\n  \"a\": 1\n  \"b\": 2}", "line 3, column 3: expected ',' or '}' after a member, found '\"'"),
    (#"{"a": 1,}"#, "line 1, column 9: expected a key in quotation marks, found '}'"),
    ("[1,]", "line 1, column 4: expected a value, found ']'"),
    ("[1", "line 1, column 3: expected ',' or ']' after an element, found the end of the text"),
    ("{'a': 1}", "line 1, column 2: expected a key in quotation marks, found '''"),
    (#"{"a" 1}"#, "line 1, column 6: expected ':' after a key, found '1'"),
    ("{} x", "line 1, column 4: expected nothing after the value, found 'x'"),
    ("// c\n{}", "line 1, column 1: expected a value, found '/'"),
    ("True", "line 1, column 1: expected a value, found 'T'"),
    ("tru", "line 1, column 1: expected a value; is this meant to be 'true'?"),
    ("01", "line 1, column 2: a number does not start with 0"),
    ("1.", "line 1, column 3: expected a digit, found the end of the text"),
    ("-", "line 1, column 2: expected a digit, found the end of the text"),
    ("1e", "line 1, column 3: expected a digit, found the end of the text"),
    (".5", "line 1, column 1: expected a value, found '.'"),
    ("+1", "line 1, column 1: expected a value, found '+'"),
    ("NaN", "line 1, column 1: expected a value, found 'N'"),
    ("\"a\nb\"", "line 1, column 3: the line ends inside a string"),
    (
      "\"a\tb\"",
      "line 1, column 3: a control character (byte 0x9) in a string has to be written as an escape"
    ),
    ("\"ab", "line 1, column 4: the text ends inside a string"),
    (#""\x""#, "line 1, column 2: no such escape; a backslash itself is written as two"),
    (#""\u12""#, "line 1, column 2: the text ends inside a string"),
    (#""\u12g4""#, "line 1, column 2: expected four hexadecimal digits after \\u"),
    (#""\ud800""#, "line 1, column 2: half of a surrogate pair"),
    (#""\udc00\ud800""#, "line 1, column 2: half of a surrogate pair"),
    (#""\ud800\u0041""#, "line 1, column 2: half of a surrogate pair"),
    ("\u{feff}{}", "line 1, column 1: the text starts with a byte order mark; save it as UTF-8 without one"),
    ("[\"ä😀\" 1]", "line 1, column 7: expected ',' or ']' after an element, found '1'"),
    ("\r\n\r\n [1 2]", "line 3, column 5: expected ',' or ']' after an element, found '2'"),
  ])
  func mistakesArePointedAt(_ json: String, _ message: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue.parse(json) }
    #expect(error?.description == message)
  }

  @Test(
    arguments: [
      [0x80], [0xc3], [0xc0, 0xaf], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xe2, 0x82], [0xff], [0xc3, 0x28], [0xf0, 0x9f, 0x98],
    ] as [[UInt8]])
  func onlyUTF8(_ bytes: [UInt8]) {
    for prefix in ["a", "\\n"] {
      let text = Array("\"\(prefix)".utf8) + bytes + Array("\"".utf8)
      let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
      #expect(error?.position == SourcePosition(line: 1, column: UInt32(2 + prefix.utf8.count)))
      #expect(error?.reason.hasPrefix("not UTF-8") == true)
    }
  }

  @Test func depthIsBounded() throws {
    let limit = JSONValue.maximumDepth
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSONValue.parse(nested(limit))
    for text in [
      nested(limit + 1), String(repeating: "[", count: 1_000_000),
      String(repeating: #"{"a":"#, count: 300_000),
    ] {
      let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
      #expect(error?.reason == "nested more than 512 deep")
    }
  }

  @Test func positions() throws {
    let json = try JSONValue.parse("{\n  \"ä\": [1,\n\t{\"k\": null}]}")
    #expect(json.position == SourcePosition(line: 1, column: 1))
    #expect(json.object?.members[0].keyPosition == SourcePosition(line: 2, column: 3))
    let list = try #require(json["ä"]?.array)
    #expect(json["ä"]?.position == SourcePosition(line: 2, column: 8))
    #expect(list[0].position == SourcePosition(line: 2, column: 9))
    #expect(list[1]["k"]?.position == SourcePosition(line: 3, column: 8))
    #expect(JSONValue.null.position == nil)
  }

  @Test func equalityIsAboutMeaning() throws {
    let a = try JSONValue.parse(#"{"a": 1, "b": [true, {"c": "x", "d": null}]}"#)
    let b = try JSONValue.parse("\n{\"b\":[true,{\"d\":null,\"c\":\"x\"}],\"a\":1}")
    #expect(a == b && a.hashValue == b.hashValue)
    #expect(a != ["a": 1, "b": [true, ["c": "x"]]])
    #expect(try JSONValue.parse("[1,2]") != JSONValue.parse("[2,1]"))
    #expect(try JSONValue.parse("1.0") != JSONValue.parse("1"))
    #expect(try JSONValue.parse(#"{"a":1,"b":2}"#) != JSONValue.parse(#"{"b":1,"a":2}"#))
  }

  @Test func theLastOfEqualKeysCounts() throws {
    let json = try JSONValue.parse(#"{"a": 1, "b": 2, "a": 3, "A": 4}"#)
    #expect(json.object?.keys == ["a", "b", "A"])
    #expect(json["a"] == 3)
    let many = (0..<20_000).map { "\"k\($0 % 10_000)\": \($0)" }.joined(separator: ",")
    let big = try JSONValue.parse("{\(many)}")
    #expect(big.object?.count == 10_000 && big["k0"] == 10_000 && big["k9999"] == 19_999)
    #expect(try JSONValue.parse("{\(many)}") == big)
  }

  @Test func objectsKeepTheirOrder() {
    var object: JSONObject = ["b": 1, "a": 2, "b": 3]
    #expect(object.keys == ["b", "a"] && object["b"] == 3)
    object["c"] = 4
    object["a"] = nil
    object.prepend("z", 5)
    object.append("b", 6)
    #expect(object.keys == ["z", "c", "b"])
    #expect(object.remove("c") == 4 && object.remove("c") == nil)
    #expect(object.member(matching: "Z")?.value == 5 && object.member(matching: "y") == nil)
    let variants: JSONObject = ["hostport": 1, "HostPort": 2, "hostPort": 3, "HOSTPORT": 4]
    #expect(
      variants.member(matching: "hostPort")?.value == 3 && variants.member(matching: "hostPORT")?.value == 4)
    // Only letters have a case: these differ in the same bit.
    #expect(JSONObject(dictionaryLiteral: ("@[", 1)).member(matching: "`{") == nil)
  }

  @Test func integers() throws {
    #expect(try JSONValue.parse("34359738359").integer(as: UInt64.self) == 34_359_738_359)
    #expect(try JSONValue.parse("18446744073709551615").integer(as: UInt64.self) == .max)
    #expect(try JSONValue.parse("18446744073709551616").integer(as: UInt64.self) == nil)
    #expect(
      try JSONValue.parse("1.0").integer(as: Int.self) == nil
        && JSONValue.parse("1e3").integer(as: Int.self) == nil)
    #expect(try JSONValue.parse("-1").integer(as: UInt8.self) == nil)
  }
}
