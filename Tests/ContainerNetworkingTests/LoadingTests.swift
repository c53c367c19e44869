import CNI
@testable import ContainerNetworking
import Glibc
import Testing

/// Where networks come from, and what their interfaces are called.
@Suite struct LoadingTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  private func names(_ networking: ContainerNetworking) -> [String] {
    networking.configuration.networks.map { "\($0.name) \($0.interfaceName)" }
  }

  @Test func theFirstFileIsTheDefault() async throws {
    fixture.configure("20-second.conflist", fixture.noop("second"))
    fixture.configure("10-first.conflist", fixture.noop("first"))
    fixture.configure("00-readme.txt", "none of ours")
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    #expect(names(networking) == ["first eth0"])
    #expect(networking.configuration.networks[0].file == "\(fixture.configurations)/10-first.conflist")
    try await networking.load(.allConfigurations)
    #expect(names(networking) == ["first eth0", "second eth1"])
  }

  @Test func asManyAsTheMaximum() async throws {
    for number in 0..<5 { fixture.configure("\(number).conflist", fixture.noop("net\(number)")) }
    let networking = try fixture.networking(maximumConfigurationCount: 3, interfacePrefix: "net")
    try await networking.load(.loopback, .defaultConfiguration)
    #expect(names(networking) == ["cni-loopback lo", "net0 net0", "net1 net1", "net2 net2"])
    try await networking.load(.allConfigurations)
    #expect(networking.configuration.networks.count == 5)
    // 0 is no limit.
    let all = try fixture.networking(maximumConfigurationCount: 0)
    try await all.load(.defaultConfiguration)
    #expect(all.configuration.networks.count == 5)
  }

  @Test func everyForm() async throws {
    fixture.write(fixture.noop("of-a-list"), "a.conflist")
    fixture.write(#"{"cniVersion":"0.4.0","name":"of-a-plugin","type":"noop"}"#, "b.conf")
    let list = try NetworkConfigurationList(bytes: Array(fixture.noop("of-a-value").utf8))
    let networking = try fixture.networking()
    try await networking.load(
      .file(fixture.directory.file("a.conflist")), .file(fixture.directory.file("b.conf")),
      .text(fixture.noop("of-text")), .bytes(Array(#"{"name":"of-bytes","type":"noop"}"#.utf8)), .list(list))
    #expect(
      names(networking) == [
        "of-a-list eth0", "of-a-plugin eth1", "of-text eth2", "of-bytes eth3", "of-a-value eth4",
      ])
    // A configuration that does not say has the oldest version.
    #expect(networking.configuration.networks.map(\.list.version.rawValue)[3] == "0.1.0")
  }

  /// The content of a file that is named tells what it is.
  @Test func namedFilesNeedNoEnding() async throws {
    let plugin = #"{"cniVersion":"0.4.0","name":"plugin","type":"noop"}"#
    for (file, text) in [
      ("net.conf", fixture.noop("list")), ("net.json", fixture.noop("list")), ("net", fixture.noop("list")),
      ("net", plugin), ("net.conflist", plugin),
    ] {
      fixture.write(text, file)
      let networking = try fixture.networking()
      try await networking.load(.file(fixture.directory.file(file)))
      #expect(names(networking) == [text == plugin ? "plugin eth0" : "list eth0"], "\(file)")
    }
  }

  @Test func chosenNumbers() async throws {
    let networking = try fixture.networking()
    try await networking.load(
      .text(fixture.noop("a")), .text(fixture.noop("b"), index: 0), .text(fixture.noop("c"), index: 7),
      .text(fixture.noop("d")))
    #expect(names(networking) == ["a eth1", "b eth0", "c eth7", "d eth2"])

    let twice = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.load(.text(fixture.noop("a"), index: 1), .text(fixture.noop("b"), index: 1))
    }
    #expect(twice.kind == .invalidParameter)
    #expect(
      twice.description
        == "cannot load network \"b\": the index 1 of its interface is that of another network")
    let loopbackTwice = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.load(.loopback, .loopback)
    }
    #expect(loopbackTwice.description.contains("there is an interface \"lo\" already"))
    // What was loaded is still there.
    #expect(names(networking) == ["a eth1", "b eth0", "c eth7", "d eth2"])
  }

  @Test func aBrokenFileHidesNoOther() async throws {
    fixture.configure("10-broken.conflist", "{\"name\":")
    fixture.configure("20-good.conflist", fixture.noop("good"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    #expect(names(networking) == ["good eth0"])
    let problem = try #require(networking.configuration.problems.first)
    #expect(problem.file == "\(fixture.configurations)/10-broken.conflist")
    #expect(networking.configuration.problems.count == 1)
  }

  @Test func whatCannotBeUsedChangesNothing() async throws {
    let networking = try fixture.networking()
    try await networking.load(.text(fixture.noop("a")))
    for (source, words) in [
      (ConfigurationSource.text("{"), "not valid JSON"),
      (.text(#"{"cniVersion":"1.1.0","name":"x"}"#), "type"),
      (.file("/nowhere/x.conflist"), "there is no such file"),
      (.text(#"{"cniVersion":"9.9.9","name":"x","plugins":[{"type":"noop"}]}"#), "9.9.9"),
    ] {
      let error = try await failure { () async throws(ContainerNetworkingError) in
        try await networking.load(.loopback, source)
      }
      #expect(error.kind == .invalidConfiguration)
      #expect(error.description.contains(words), "\(error)")
    }
    #expect(names(networking) == ["a eth0"])
  }

  @Test func anEmptyDirectory() async throws {
    let networking = try fixture.networking(minimumNetworkCount: 2)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.load(.loopback, .defaultConfiguration)
    }
    #expect(error.kind == .noConfiguration)
    #expect(
      error.description
        == "cannot load networks: 2 networks have to be configured, and 1 are (cni-loopback); put a configuration into \(fixture.configurations)"
    )
    // As soon as there is one, that is enough.
    fixture.configure("10.conflist", fixture.noop("net"))
    try await networking.reload()
    #expect(names(networking) == ["cni-loopback lo", "net eth0"])
    unlink("\(fixture.configurations)/10.conflist")
    _ = try await failure { () async throws(ContainerNetworkingError) in try await networking.reload() }
    #expect(names(networking) == ["cni-loopback lo"])
  }

  /// A container with nothing but loopback is not what anybody has asked for.
  @Test(arguments: [ConfigurationSource.defaultConfiguration, .allConfigurations])
  func anEmptyDirectoryBesideLoopback(_ source: ConfigurationSource) async throws {
    let networking = try fixture.networking()
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.load(.loopback, source)
    }
    #expect(error.kind == .noConfiguration)
    #expect(
      error.description.contains("\(fixture.configurations) configures no network; put a configuration into"))
    let status = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.status()
    }
    #expect(status.kind == .noConfiguration)
    // Neither if it cannot be read.
    rmdir(fixture.configurations)
    fixture.write("", "net.d")
    let unreadable = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.load(.loopback, source)
    }
    #expect(unreadable.kind == .noConfiguration)
    #expect(unreadable.problems.map(\.file) == [fixture.configurations])
    // Who asks for no networks gets none.
    try await fixture.networking(minimumNetworkCount: 0).load(source)
    try await networking.load(.loopback)
    try await networking.status()
  }

  @Test func whatIsBeingWrittenIsWaitedFor() async throws {
    fixture.configure("20-other.conflist", fixture.noop("other"))
    let path = "\(fixture.configurations)/10-main.conflist"
    let networking = try fixture.networking()
    let text = fixture.noop("main")
    var file: FileBeingWritten? = try FileBeingWritten(path, String(text.prefix(30)))
    let loading = Task { try await networking.load(.defaultConfiguration) }
    try await eventually { file!.wasOpened }
    file!.write(String(text.dropFirst(30)))
    file = nil
    try await loading.value
    // On a busy machine it may have taken too long to finish the file; nobody must believe then that this is all.
    if networking.configuration.problems.isEmpty { #expect(names(networking) == ["main eth0"]) }
    try await networking.reload()
    #expect(names(networking) == ["main eth0"])
    #expect(networking.configuration.problems.isEmpty && networking.configuration.outdatedFiles.isEmpty)

    // For ever is too long. It counts as it was, and that is told.
    file = try FileBeingWritten(path, "{")
    try await networking.reload()
    #expect(names(networking) == ["main eth0"])
    #expect(networking.configuration.outdatedFiles == [path])
    #expect(networking.configuration.problems.map(\.file) == [path])
    file = nil
    unlink(path)
    try await networking.reload()
    file = try FileBeingWritten(path, "{")
    try await networking.reload()
    #expect(names(networking) == ["other eth0"])
    #expect(
      networking.configuration.problems.map { "\($0)" } == [
        "\(path): somebody is writing it: load again when that is done"
      ])
  }

  /// What is asked for later counts, however long it takes to read what was asked for before.
  @Test func theLastOfTwoLoadsCounts() async throws {
    fixture.write(fixture.noop("first"), "first")
    let networking = try fixture.networking()
    let path = fixture.directory.file("first")
    var file: FileBeingWritten? = try FileBeingWritten(path, "")
    let first = Task { try await networking.load(.file(path)) }
    try await eventually { file!.wasOpened }
    let second = Task { try await networking.load(.text(fixture.noop("second"))) }
    try await eventually { networking.loading.waiting == 1 || networking.configuration.networks.count == 1 }
    file!.write(fixture.noop("first"))
    file = nil
    _ = await first.result
    try await second.value
    #expect(names(networking) == ["second eth0"])
  }

  @Test func theConfigurationAsItWasRead() async throws {
    fixture.configure(
      "10.conflist",
      #"{"cniVersion":"1.0.0","name":"net","unknown":1,"plugins":[{"type":"bridge","bridge":"br9"},{"type":"portmap"}]}"#
    )
    let networking = try fixture.networking(minimumNetworkCount: 2)
    try await networking.load(.loopback, .defaultConfiguration)
    let configuration = networking.configuration
    #expect(configuration.pluginDirectories == [fixture.plugins])
    #expect(configuration.configurationDirectory == fixture.configurations)
    #expect(configuration.maximumConfigurationCount == 1)
    #expect(configuration.minimumNetworkCount == 2)
    #expect(configuration.interfacePrefix == "eth")
    #expect(configuration.defaultInterfaceName == "eth0")
    let list = configuration.networks[1].list
    #expect(list.name == "net" && list.version == .v1_0_0)
    #expect(list.plugins.map(\.type) == ["bridge", "portmap"])
    #expect(list.plugins[0].json["bridge"]?.string == "br9")
    #expect(list.json["unknown"] == 1)
  }

  @Test func parametersThatMakeNoSense() throws {
    for (make, words) in [
      (
        { () throws(ContainerNetworkingError) in try ContainerNetworking(interfacePrefix: "a/b") },
        "interfacePrefix"
      ),
      (
        { () throws(ContainerNetworkingError) in try ContainerNetworking(interfacePrefix: "fifteen-letters")
        },
        "interfacePrefix"
      ),
      (
        { () throws(ContainerNetworkingError) in try ContainerNetworking(minimumNetworkCount: -1) },
        "minimumNetworkCount is -1"
      ),
      (
        { () throws(ContainerNetworkingError) in try ContainerNetworking(maximumConfigurationCount: -1) },
        "maximumConfigurationCount is -1"
      ),
      (
        { () throws(ContainerNetworkingError) in try ContainerNetworking(maximumConcurrency: 0) },
        "maximumConcurrency is 0"
      ),
    ] as [(() throws(ContainerNetworkingError) -> ContainerNetworking, String)] {
      let error = #expect(throws: ContainerNetworkingError.self) { _ = try make() }
      #expect(error?.kind == .invalidParameter)
      #expect(error?.description.contains(words) == true)
    }
  }
}
