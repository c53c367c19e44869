import Testing

@testable import ReferencePlugins

@Suite("Regular expressions of allow-lists")
struct RegularExpressionTests {
  private static let keys = [
    "net.ipv4.conf.IFNAME.arp_notify", "net.ipv4.conf.IFNAME.arp_accept", "net/ipv4/conf/IFNAME/arp_notify",
    "net.ipv6.conf.IFNAME.accept_ra", "net.core.somaxconn", "net.ipv4.ip_local_port_range",
    "NET.CORE.SOMAXCONN",
    "net.ipv4.tcp_rmem", "a", "ab", "aab", "abab", "", "-", "]", "^", "x-y", "net{1}", "12", "tab\there",
  ]

  /// The standard library's own expressions say the same.
  @Test(
    "What RE2 and the standard library both know",
    arguments: [
      #"^net\.ipv4\.conf\.IFNAME\.[a-z_]*$"#, "^net.ipv4.conf.IFNAME.arp_notify$", "arp",
      "^net.core.somaxconn$",
      "^net\\.(core|ipv4)\\..*$", "^(?:net)[./]", #"^[\w.]+$"#, #"^\w+\.\w+\.\w+$"#, #"\d+"#, "^a+b$",
      "^a*?b$", "^(ab){2}$",
      "^a{1,2}b", "^a{2,}b", "^$", "", "[^a-z]", #"[\]\-]"#, "[a-]", #"\."#, "a|b|^$", "(a|b)*$",
      "(?i)^net\\.CORE",
      "^(?i:net)\\.core", #"\bcore\b"#, #"\Bore\b"#, "[[:digit:]]", "[^[:alnum:]_.]", #"\Anet.*n\z"#,
      #"^[^\s]+$"#, #"\x61"#,
      "^.{2}$", "(a*)*b", "^(a?){3}b$", "[+*?.^$]", "x-y", "^(?<first>a)(?P<second>b)$", "((((a))))",
    ])
  func agreement(pattern: String) throws {
    let ours = try RegularExpression(pattern)
    // The one name for groups that the standard library does not know.
    let theirs = try Regex(pattern.replacing("?P<", with: "?<")).asciiOnlyWordCharacters().asciiOnlyDigits()
      .asciiOnlyWhitespace().matchingSemantics(.unicodeScalar).wordBoundaryKind(.simple)
    for key in Self.keys {
      let expected = try theirs.firstMatch(in: key) != nil
      #expect(ours.matches(key) == expected, "\(pattern) and \(key)")
    }
  }

  @Test("What RE2 takes for itself: braces, quotations, no backreferences")
  func particular() throws {
    #expect(try RegularExpression("net{1}").matches("net"))
    #expect(try RegularExpression("net{a}").matches("net{a}"))
    #expect(try RegularExpression("{").matches("{") && RegularExpression("a{,2}").matches("a{,2}"))
    #expect(try RegularExpression(#"^\Qnet.core\E.*$"#).matches("net.core.x"))
    #expect(try !RegularExpression(#"^\Qnet.core\E.*$"#).matches("net/core.x"))
    #expect(try RegularExpression("^é$").matches("é"))
    #expect(try RegularExpression(#"^[\.\d-]+$"#).matches("1.2-3"))
    #expect(try RegularExpression("^[]-]$").matches("]") && RegularExpression("^[^]-]$").matches("x"))
    #expect(try !RegularExpression("^a.b$").matches("a\nb"))
    #expect(try RegularExpression("(?i)a(?-i)b").matches("Ab"))
    #expect(try !RegularExpression("(?i)a(?-i)b").matches("AB"))
    #expect(try !RegularExpression("(?:(?i)a)b").matches("AB"))
  }

  @Test(
    "What is no expression is refused, not taken for something else",
    arguments: [
      "*", "+a", "a**", "a*+", "a{2}{3}", "(", ")", "a)", "(a", "[", "[a", "[]", "[z-a]", #"[\d-z]"#, #"\"#,
      #"\1"#, #"\p{L}"#,
      #"\Z"#, "(?=a)", "(?!a)", "(?<=a)b", "a{1001}", "a{3,2}", #"\x9"#, #"\xff"#, "[é]", "[[:nothing:]]",
      "(?P<a", "(?P<\u{0}", "a|*",
      String(repeating: "(", count: 300) + String(repeating: ")", count: 300),
    ])
  func mistakes(pattern: String) {
    #expect(throws: RegularExpression.Mistake.self) { try RegularExpression(pattern) }
  }

  @Test("No expression takes long")
  func time() throws {
    let text = String(repeating: "a", count: 200)
    for pattern in ["(a*)*$b", "(a|a)*b", "((a{0,1000}){0,1000}){0,1000}b", "(a?){1000}a{1000}b"] {
      #expect(try !RegularExpression(pattern).matches(text))
    }
  }
}
