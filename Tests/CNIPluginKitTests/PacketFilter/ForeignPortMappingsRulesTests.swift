import CNI
import NetworkAddresses
import Testing

@testable import CNIPluginKit

@Suite("Port mappings for iptables: what is said to it")
struct ForeignPortMappingsRulesTests {
  typealias Settings = ForeignPortMappings.Settings

  let mappings = ForeignPortMappings(network: "net", containerID: "c1")
  let address = IPPrefix("10.22.0.5/16")!
  let address6 = IPPrefix("fd00:22::5/64")!
  let chain = "CNI-DN-623e1c388032b20529218"

  @Test("Names and comments are the Go plugin's")
  func names() {
    #expect(mappings.chainName == chain)
    #expect(
      ForeignPortMappings(network: "net", containerID: "c2").chainName == "CNI-DN-0aed9834e55b18dc6e007")
    #expect(mappings.oldChainName == "CNI-SN-623e1c388032b20529218")
    #expect(mappings.comment == #"dnat name: "net" id: "c1""#)
    let long = ForeignPortMappings(network: "net", containerID: String(repeating: "x", count: 300)).comment
    #expect(long.utf8.count == 255)
    #expect(long.hasSuffix("xxx.."))
  }

  @Test("The first container brings all that is shared")
  func common() {
    #expect(
      ForeignPortMappings.commonRules(Settings(), unless: CommonRules()) == [
        "-N CNI-HOSTPORT-SETMARK",
        #"-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000"#,
        "-N CNI-HOSTPORT-MASQ",
        "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
        #"-I POSTROUTING 1 -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ"#,
        "-N CNI-HOSTPORT-DNAT",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      ])
  }

  @Test(
    "Who marks otherwise, or not at all, brings less",
    arguments: [Settings(masquerades: false), Settings(externalMarkChain: "KUBE-MARK-MASQ")])
  func commonWithoutMarks(settings: Settings) {
    #expect(
      ForeignPortMappings.commonRules(settings, unless: CommonRules()) == [
        "-N CNI-HOSTPORT-DNAT",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      ])
  }

  @Test("What is there is not made again, and what somebody flushed is")
  func commonPresent() {
    var present = CommonRules()
    present.chains = ["CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"]
    present.callers = ["CNI-HOSTPORT-DNAT": ["PREROUTING", "OUTPUT"], "CNI-HOSTPORT-MASQ": ["POSTROUTING"]]
    present.isMarking = true
    present.isMasquerading = true
    #expect(ForeignPortMappings.commonRules(Settings(), unless: present).isEmpty)
    present.callers["CNI-HOSTPORT-DNAT"] = ["PREROUTING"]
    present.isMarking = false
    #expect(
      ForeignPortMappings.commonRules(Settings(markBit: 31), unless: present) == [
        #"-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x80000000/0x80000000"#,
        "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      ])
  }

  @Test("A container's rules: marks for itself and localhost, the translation, and the way there")
  func container() {
    let ports = [
      PortMapping(hostPort: 8080, containerPort: 80),
      PortMapping(hostPort: 8081, containerPort: 81, transport: .udp, hostIP: IPAddress("127.0.0.1")!),
      PortMapping(hostPort: 8083, containerPort: 83, transport: .sctp, hostIP: IPAddress("::")!),
    ]
    let comment = #"-m comment --comment "dnat name: \"net\" id: \"c1\"" -m multiport"#
    #expect(
      mappings.containerRules(ports, to: address, Settings()) == [
        ":\(chain) - [0:0]",
        "-A \(chain) -p tcp --dport 8080 -s 10.22.0.0/16 -j CNI-HOSTPORT-SETMARK",
        "-A \(chain) -p tcp --dport 8080 -s 127.0.0.1 -j CNI-HOSTPORT-SETMARK",
        "-A \(chain) -p tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:80",
        "-A \(chain) -p udp --dport 8081 -d 127.0.0.1 -s 10.22.0.0/16 -j CNI-HOSTPORT-SETMARK",
        "-A \(chain) -p udp --dport 8081 -d 127.0.0.1 -s 127.0.0.1 -j CNI-HOSTPORT-SETMARK",
        "-A \(chain) -p udp --dport 8081 -d 127.0.0.1 -j DNAT --to-destination 10.22.0.5:81",
        "-A CNI-HOSTPORT-DNAT \(comment) -p sctp --destination-ports 8083 -j \(chain)",
        "-A CNI-HOSTPORT-DNAT \(comment) -p tcp --destination-ports 8080 -j \(chain)",
        "-A CNI-HOSTPORT-DNAT \(comment) -p udp --destination-ports 8081 -j \(chain)",
      ])
    #expect(
      mappings.containerRules(ports, to: address6, Settings()).filter { $0.hasPrefix("-A \(chain)") } == [
        "-A \(chain) -p tcp --dport 8080 -s fd00:22::/64 -j CNI-HOSTPORT-SETMARK",
        "-A \(chain) -p tcp --dport 8080 -j DNAT --to-destination [fd00:22::5]:80",
        "-A \(chain) -p sctp --dport 8083 -s fd00:22::/64 -j CNI-HOSTPORT-SETMARK",
        "-A \(chain) -p sctp --dport 8083 -j DNAT --to-destination [fd00:22::5]:83",
      ])
  }

  @Test("snat off, masqAll, an external chain")
  func masquerading() {
    let port = [PortMapping(hostPort: 8080, containerPort: 80)]
    func rules(_ settings: Settings) -> [String] {
      mappings.containerRules(port, to: address, settings).filter { $0.hasPrefix("-A \(chain)") }
    }
    let translation = "-A \(chain) -p tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:80"
    #expect(rules(Settings(masquerades: false)) == [translation])
    #expect(rules(Settings(masquerades: false, masqueradesAll: true)) == [translation])
    #expect(
      rules(Settings(masqueradesAll: true)) == [
        "-A \(chain) -p tcp --dport 8080 -j CNI-HOSTPORT-SETMARK", translation,
      ])
    #expect(
      rules(Settings(masqueradesAll: true, externalMarkChain: "KUBE-MARK-MASQ")) == [
        "-A \(chain) -p tcp --dport 8080 -j \"KUBE-MARK-MASQ\"", translation,
      ])
  }

  @Test("Conditions are iptables' words, each of which stays one")
  func conditions() {
    let port = [PortMapping(hostPort: 8080, containerPort: 80)]
    let settings = Settings(
      conditionsV4: ["!", "-d", "192.0.2.0/24", "-m", "comment", "--comment", #"a "b\ c"#], conditionsV6: [""]
    )
    #expect(
      mappings.containerRules(port, to: address, settings).last?.hasSuffix(
        #"--destination-ports 8080 "!" "-d" "192.0.2.0/24" "-m" "comment" "--comment" "a \"b\\ c" -j \#(chain)"#
      ) == true)
    #expect(
      mappings.containerRules(port, to: address6, settings).last?.hasSuffix(
        #"--destination-ports 8080 -j \#(chain)"#) == true)
  }

  @Test("Fifteen ports a rule")
  func manyPorts() {
    let many = (1...31).map { PortMapping(hostPort: 8000 + $0, containerPort: $0) }
    let entries = mappings.containerRules(many, to: address, Settings()).filter {
      $0.hasPrefix("-A CNI-HOSTPORT-DNAT")
    }
    #expect(entries.count == 3)
    #expect(
      entries[0].contains(
        "--destination-ports 8001,8002,8003,8004,8005,8006,8007,8008,8009,8010,8011,8012,8013,8014,8015 "))
    #expect(entries[2].contains("--destination-ports 8031 "))
  }
}

@Suite("Port mappings in iptables-legacy: what is said to remove them")
struct SavedTableTests {
  private let common = """
    -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
    -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
    -A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
    -A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
    -A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
    -A CNI-DN-1 -s 10.22.0.0/16 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
    -A CNI-DN-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:80
    -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"net\\" id: \\"c1\\"" -m multiport --dports 8080 -j CNI-DN-1

    """

  private func table(_ rules: String, chains: [String] = []) -> SavedTable {
    let names = ["CNI-DN-1", "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"] + chains
    return SavedTable(
      "# Generated by iptables-save\n*nat\n:PREROUTING ACCEPT [0:0]\n"
        + names.map { ":\($0) - [0:0]\n" }.joined() + rules + "COMMIT\n")
  }

  private let own = [
    #"-D CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"net\" id: \"c1\"" -m multiport --dports 8080 -j CNI-DN-1"#,
    "-F CNI-DN-1", "-X CNI-DN-1",
  ]

  private func lines(_ rules: IPTablesBatch) -> [String] {
    rules.text.split(separator: "\n").map(String.init)
  }

  @Test("The last container's go with all that is shared")
  func last() {
    #expect(
      lines(table(common).removal(of: ["CNI-DN-1"])) == ["*nat"] + own + [
        "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-D OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-X CNI-HOSTPORT-DNAT",
        #"-D POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ"#,
        "-F CNI-HOSTPORT-MASQ", "-X CNI-HOSTPORT-MASQ",
        "-F CNI-HOSTPORT-SETMARK", "-X CNI-HOSTPORT-SETMARK", "COMMIT",
      ])
  }

  @Test("Another container keeps all of its own, and what is shared")
  func neighbour() {
    let other = """
      -A CNI-DN-2 -p tcp -m tcp --dport 8090 -j DNAT --to-destination 10.22.0.6:80
      -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "a \\" -j CNI-DN-1 text" -m multiport --dports 8090 -j CNI-DN-2

      """
    #expect(
      lines(table(common + other, chains: ["CNI-DN-2"]).removal(of: ["CNI-DN-1"])) == ["*nat"] + own + [
        "COMMIT"
      ])
  }

  @Test("A common chain that somebody else calls stays")
  func called() {
    let removal = lines(
      table(common + "-A FOO -j CNI-HOSTPORT-SETMARK\n", chains: ["FOO"]).removal(of: ["CNI-DN-1"]))
    #expect(!removal.contains { $0.contains("SETMARK") })
    #expect(removal.contains("-X CNI-HOSTPORT-MASQ"))
  }
}
