import CNI
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

@Suite("subnet.env") struct FlannelSubnetTests {
  static let dualStack = """
    FLANNEL_NETWORK=10.1.0.0/16
    FLANNEL_SUBNET=10.1.17.1/24
    FLANNEL_IPV6_NETWORK=fc00::/48
    FLANNEL_IPV6_SUBNET=fc00::1/64
    FLANNEL_MTU=1450
    FLANNEL_IPMASQ=true

    """

  private func parse(_ text: String) throws -> FlannelSubnet {
    try FlannelSubnet(parsing: Array(text.utf8), path: "/x/subnet.env")
  }

  @Test("What flanneld writes is read") func dualStack() throws {
    let subnet = try parse(Self.dualStack)
    #expect(subnet.networks.map(\.description) == ["10.1.0.0/16", "fc00::/48"])
    #expect(subnet.subnets.map(\.description) == ["10.1.17.0/24", "fc00::/64"])
    #expect(subnet.mtu == 1450 && subnet.masquerades)
  }

  @Test(
    "Lines in any order, other lines, line ends of other systems, the last of two, several networks, each once",
    arguments: [
      "FLANNEL_IPMASQ=false\nFLANNEL_MTU=0\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_NETWORK=10.1.0.0/16,10.2.0.0/16,10.1.0.0/16",
      "# of flanneld\n\nOTHER=1\nx\n=\n FLANNEL_MTU=9\nFLANNEL_NETWORK=10.1.0.0/16,10.2.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=0\nFLANNEL_IPMASQ=false\n",
      "FLANNEL_NETWORK=10.1.0.0/16,10.2.3.4/16\r\nFLANNEL_SUBNET=10.1.17.1/24\r\nFLANNEL_MTU=0\r\nFLANNEL_IPMASQ=false\r\n",
      "FLANNEL_NETWORK=10.9.0.0/16\nFLANNEL_SUBNET=10.9.1.1/24\nFLANNEL_MTU=1400\nFLANNEL_IPMASQ=true\nFLANNEL_NETWORK=10.1.0.0/16,10.2.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=0\nFLANNEL_IPMASQ=false\n",
      "FLANNEL_NETWORK=::ffff:10.1.0.0/112,10.2.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=0\nFLANNEL_IPMASQ=false\n",
    ]) func tolerated(text: String) throws
  {
    let subnet = try parse(text)
    #expect(subnet.networks.map(\.description) == ["10.1.0.0/16", "10.2.0.0/16"])
    #expect(subnet.subnets.map(\.description) == ["10.1.17.0/24"])
    #expect(subnet.mtu == 0 && !subnet.masquerades)
  }

  @Test("IPv6 alone, also under the keys of IPv4, which old files have")
  func onlyIPv6() throws {
    for infix in ["", "IPV6_"] {
      let subnet = try parse(
        "FLANNEL_\(infix)NETWORK=fc00::/48\nFLANNEL_\(infix)SUBNET=fc00:0:0:1::1/64\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"
      )
      #expect(subnet.networks.map(\.description) == ["fc00::/48"])
      #expect(subnet.subnets.map(\.description) == ["fc00:0:0:1::/64"])
    }
  }

  @Test(
    "Every mistake is named with file, line, key and remedy",
    arguments: [
      ("FLANNEL_NETWORK", "10.1.0.0"), ("FLANNEL_NETWORK", "10.1.0.0/33"), ("FLANNEL_NETWORK", "10.1.0/16"),
      ("FLANNEL_NETWORK", "10.1.0.0/16,"), ("FLANNEL_NETWORK", "10.1.0.0/16, 10.2.0.0/16"),
      ("FLANNEL_NETWORK", ""), ("FLANNEL_NETWORK", "\"10.1.0.0/16\""),
      ("FLANNEL_NETWORK", "10.1.0.0/16=10.2.0.0/16"),
      ("FLANNEL_SUBNET", "10.1.17.1"), ("FLANNEL_SUBNET", "10.1.17.1/24,10.1.18.1/24"),
      ("FLANNEL_SUBNET", "\u{0}10.1.17.1/24"), ("FLANNEL_SUBNET", String(repeating: "9", count: 5000)),
      ("FLANNEL_IPV6_NETWORK", "fc00::/129"), ("FLANNEL_IPV6_SUBNET", "fc00::1%eth0/64"),
      ("FLANNEL_MTU", ""), ("FLANNEL_MTU", "-1"), ("FLANNEL_MTU", "+1450"), ("FLANNEL_MTU", "1450 "),
      ("FLANNEL_MTU", "0x5aa"), ("FLANNEL_MTU", "65536"), ("FLANNEL_MTU", "18446744073709551617"),
      ("FLANNEL_IPMASQ", ""), ("FLANNEL_IPMASQ", "True"), ("FLANNEL_IPMASQ", "1"),
      ("FLANNEL_IPMASQ", "true true"),
    ]) func mistakes(key: String, value: String) throws
  {
    var lines = Self.dualStack.split(separator: "\n").map(String.init)
    let line = try #require(lines.firstIndex { $0.hasPrefix(key + "=") })
    lines[line] = "\(key)=\(value)"
    let error = #expect(throws: CNIError.self) { try parse(lines.joined(separator: "\n")) }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.message.hasPrefix("/x/subnet.env line \(line + 1): \(key) is ") == true, "\(error!)")
    #expect(error?.details.contains("write ") == true && error?.details.contains("flanneld") == true)
    #expect((error?.description.utf8.count ?? 0) < 500)
    #expect(error?.description.utf8.allSatisfy { $0 >= 0x20 } == true)
  }

  @Test("A key without a value, as a file has that was cut off") func cut() throws {
    let error = #expect(throws: CNIError.self) { try parse("FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET") }
    #expect(error?.message == "/x/subnet.env line 2: FLANNEL_SUBNET has no value")
    #expect(error?.details.contains("FLANNEL_SUBNET=10.244.1.1/24") == true)
  }

  @Test("All that is missing is named at once") func missing() throws {
    let all = "FLANNEL_NETWORK or FLANNEL_IPV6_NETWORK, no FLANNEL_SUBNET or FLANNEL_IPV6_SUBNET"
    for (text, expected) in [
      ("", "\(all), no FLANNEL_MTU, no FLANNEL_IPMASQ"),
      ("foo=bar\n", "\(all), no FLANNEL_MTU, no FLANNEL_IPMASQ"),
      ("FLANNEL_MTU=1\nFLANNEL_IPMASQ=true", all),
      ("FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_IPV6_SUBNET=fc00::1/64\nFLANNEL_MTU=1", "FLANNEL_IPMASQ"),
    ] {
      let error = #expect(throws: CNIError.self) { try parse(text) }
      #expect(error?.message == "/x/subnet.env has no \(expected)")
    }
  }

  @Test("Bytes of any kind end in an error, never otherwise") func garbage() throws {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      var bytes = Array(Self.dualStack.utf8)
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        bytes[Int.random(in: bytes.indices, using: &generator)] = .random(in: 0...255, using: &generator)
      }
      do throws(CNIError) {
        let subnet = try FlannelSubnet(parsing: bytes, path: "f")
        #expect(!subnet.subnets.isEmpty && !subnet.networks.isEmpty && subnet.mtu <= 65535)
      } catch {
        #expect(error.code == .invalidConfiguration && error.message.hasPrefix("f"))
      }
    }
  }

  @Test("What is not a file of that size is not read") func files() throws {
    try withTemporaryDirectory { directory in
      let missing = #expect(throws: CNIError.self) { try FlannelSubnet(contentsOf: "\(directory)/no/env") }
      #expect(missing?.code == .tryAgainLater && missing?.message.contains("\(directory)/no/env") == true)
      #expect(missing?.details.contains("is flanneld running") == true)
      try shell("cd \(directory); mkdir dir; mkfifo pipe; head -c 70000 /dev/zero >large")
      for name in ["dir", "pipe", "large"] {
        let error = #expect(throws: CNIError.self) { try FlannelSubnet(contentsOf: "\(directory)/\(name)") }
        #expect(error?.code == .ioFailure && error?.message.contains("\(directory)/\(name)") == true)
      }
    }
  }
}
