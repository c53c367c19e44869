import CNI
import NetworkAddresses
import Testing

/// The values that plugins find under `runtimeConfig`, in the words of the conventions.
@Suite struct CapabilityTests {
  private func text(_ capability: Capability) -> String { "\(capability.name) \(capability.value)" }

  @Test func portMappings() {
    let capability = Capability.portMappings([
      .init(hostPort: 8080, containerPort: 80),
      .init(
        hostPort: 53, containerPort: 5353, transport: .udp, hostAddress: IPAddress("127.0.0.1")),
    ])
    #expect(
      text(capability)
        == #"portMappings [{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":53,"containerPort":5353,"protocol":"udp","hostIP":"127.0.0.1"}]"#
    )
  }

  @Test func bandwidth() {
    let both = Capability.Bandwidth(
      ingress: .init(rate: 1_000_000, burst: 8000), egress: .init(rate: 2_000_000, burst: 16000))
    #expect(
      text(.bandwidth(both))
        == #"bandwidth {"ingressRate":1000000,"ingressBurst":8000,"egressRate":2000000,"egressBurst":16000}"#)
    #expect(
      text(.bandwidth(Capability.Bandwidth(egress: .init(rate: 1, burst: 2))))
        == #"bandwidth {"egressRate":1,"egressBurst":2}"#)
  }

  @Test func addresses() throws {
    let subnet = try #require(IPPrefix("10.1.0.0/16"))
    let range = Capability.AddressRange(
      subnet: subnet, first: IPAddress("10.1.2.0"), last: IPAddress("10.1.2.9"),
      gateway: IPAddress("10.1.0.1"))
    #expect(
      text(.ipRanges([[range], [Capability.AddressRange(subnet: try #require(IPPrefix("fd00::/64")))]]))
        == #"ipRanges [[{"subnet":"10.1.0.0/16","rangeStart":"10.1.2.0","rangeEnd":"10.1.2.9","gateway":"10.1.0.1"}],[{"subnet":"fd00::/64"}]]"#
    )
    #expect(text(.ips([try #require(IPAddress("10.1.2.3"))])) == #"ips ["10.1.2.3"]"#)
    #expect(text(.ips([try #require(IPPrefix("10.1.2.3/24"))])) == #"ips ["10.1.2.3/24"]"#)
    #expect(text(.mac(try #require(MACAddress("02:00:00:00:00:0A")))) == #"mac "02:00:00:00:00:0a""#)
  }

  @Test func names() {
    let dns = DNSConfiguration(nameservers: ["10.0.0.10"], search: ["svc.local"], options: ["ndots:5"])
    #expect(
      text(.dns(dns)) == #"dns {"servers":["10.0.0.10"],"searches":["svc.local"],"options":["ndots:5"]}"#)
    #expect(text(.aliases(["db", "sql"])) == #"aliases ["db","sql"]"#)
    #expect(text(.cgroupPath("/kubepods/pod1")) == #"cgroupPath "/kubepods/pod1""#)
    #expect(text(.deviceID("0000:04:00.5")) == #"deviceID "0000:04:00.5""#)
    #expect(text(.infinibandGUID("c2:11:22:33:44:55:66:77")) == #"infinibandGUID "c2:11:22:33:44:55:66:77""#)
    #expect(
      text(.podAnnotations(["b": "2", "a": "1"])) == #"io.kubernetes.cri.pod-annotations {"a":"1","b":"2"}"#)
  }

  @Test func theLastOfTheSameNameCounts() {
    let object = JSONObject([.cgroupPath("/a"), Capability("x", [1]), .cgroupPath("/b")])
    #expect(object == ["cgroupPath": "/b", "x": [1]])
  }
}
