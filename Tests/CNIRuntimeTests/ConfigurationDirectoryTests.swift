import CNI
import CNIRuntime
import Glibc
import Testing

@Suite struct ConfigurationDirectoryTests {
  let fixture: RuntimeFixture
  let directory: ConfigurationDirectory

  init() throws {
    fixture = try RuntimeFixture()
    directory = ConfigurationDirectory("\(fixture.path)/net.d")
    mkdir(directory.path, 0o755)
  }

  private func list(_ name: String, _ more: String = "") -> String {
    #"{"cniVersion":"1.0.0","name":"\#(name)",\#(more)"plugins":[{"type":"bridge"}]}"#
  }

  @Test func loadsInOrderOfNames() {
    fixture.write(list("c"), "net.d/30-c.conflist")
    fixture.write(#"{"cniVersion":"0.4.0","name":"a","type":"loopback"}"#, "net.d/10-a.conf")
    fixture.write(#"{"cniVersion":"0.3.1","name":"b","type":"ptp"}"#, "net.d/20-b.json")
    for name in [".hidden.conflist", "x.conflist~", "x.conf.dpkg-new", "README", "x.yaml", ".swp"] {
      fixture.write("not a configuration", "net.d/\(name)")
    }
    mkdir("\(directory.path)/directory.conf", 0o755)
    let contents = directory.load()
    #expect(contents.networks.map(\.name) == ["a", "b", "c"])
    #expect(contents.problems.isEmpty)
    #expect(contents["b"]?.file == "\(directory.path)/20-b.json")
    #expect(contents["a"]?.list.version == .v0_4_0)
    #expect(contents["a"]?.list.plugins.map(\.type) == ["loopback"])
    #expect(directory.load(maximum: 2).networks.map(\.name) == ["a", "b"])
  }

  @Test func brokenFilesHideNothing() throws {
    fixture.write("{\n  \"name\": \"x\",\n  oops\n}", "net.d/00-syntax.conflist")
    fixture.write("", "net.d/01-empty.conflist")
    fixture.write(
      #"{"cniVersion":"9.9.9","name":"x","plugins":[{"type":"bridge"}]}"#, "net.d/02-version.conflist")
    fixture.write("{\"name\":\"x\",\n\"plugins\":[{\"typ\":\"bridge\"}]}", "net.d/03-type.conflist")
    fixture.write(list("../x"), "net.d/04-name.conflist")
    fixture.write(list("x"), "net.d/05-list.conf")
    fixture.write(#"{"cniVersion":"1.0.0","name":"x","type":"bridge"}"#, "net.d/06-single.conflist")
    fixture.write(#"{"cniVersion":"1.1.0","name":"alone"}"#, "net.d/07-no-plugins.conflist")
    fixture.write(list("good"), "net.d/50-good.conflist")
    fixture.write(list("good"), "net.d/60-again.conflist")
    symlink("/nowhere", "\(directory.path)/70-dangling.conflist")
    let contents = directory.load()
    #expect(contents.networks.map(\.name) == ["good"])
    let problems = contents.problems
    func problem(_ name: String) throws -> ConfigurationProblem {
      try #require(problems.first { $0.file == "\(directory.path)/\(name)" })
    }
    #expect(try problem("00-syntax.conflist").line == 3)
    #expect(try problem("00-syntax.conflist").reason.hasPrefix("it is not valid JSON"))
    #expect(
      try problem("00-syntax.conflist").description.hasPrefix("\(directory.path)/00-syntax.conflist:3:"))
    #expect(try problem("01-empty.conflist").reason == "it is empty")
    #expect(try problem("02-version.conflist").description.contains("9.9.9"))
    #expect(try problem("03-type.conflist").line == 2)
    #expect(try problem("03-type.conflist").reason.contains("plugins[0].type"))
    #expect(try problem("04-name.conflist").reason.contains("../x"))
    #expect(try problem("05-list.conf").remedy.contains(".conflist"))
    #expect(try problem("06-single.conflist").remedy.contains(".conf"))
    #expect(try problem("07-no-plugins.conflist").reason.contains("network \"alone\" has no plugins"))
    #expect(
      try problem("60-again.conflist").reason.contains(
        "configured by \(directory.path)/50-good.conflist already"))
    #expect(problems.allSatisfy { !$0.reason.isEmpty })
    #expect(try problem("70-dangling.conflist").reason.contains("symbolic link"))
    #expect(problems.count == 10)
  }

  @Test func pluginsFromTheNetworksOwnDirectory() throws {
    fixture.write(list("a"), "net.d/10-a.conflist")
    fixture.write(#"{"type":"tuning"}"#, "net.d/a/20.conf")
    fixture.write(#"{"type":"portmap"}"#, "net.d/a/10.conf")
    fixture.write("ignored", "net.d/a/30.json")
    fixture.write(list("b", #""loadOnlyInlinedPlugins":true,"#), "net.d/20-b.conflist")
    fixture.write(#"{"type":"tuning"}"#, "net.d/b/10.conf")
    fixture.write(#"{"cniVersion":"1.1.0","name":"c"}"#, "net.d/30-c.conflist")
    fixture.write(#"{"type":"ptp"}"#, "net.d/c/10.conf")
    fixture.write(list("d"), "net.d/40-d.conflist")
    fixture.write("{", "net.d/d/10.conf")
    let contents = directory.load()
    #expect(contents["a"]?.list.plugins.map(\.type) == ["bridge", "portmap", "tuning"])
    #expect(contents["a"]?.list.plugins.map(\.name) == ["a", "a", "a"])
    #expect(contents["b"]?.list.plugins.map(\.type) == ["bridge"])
    #expect(contents["c"]?.list.plugins.map(\.type) == ["ptp"])
    #expect(contents["d"] == nil)
    #expect(contents.problems.map(\.file) == ["\(directory.path)/d/10.conf"])
  }

  @Test func findsByName() throws {
    fixture.write(#"{"cniVersion":"0.4.0","name":"a","type":"loopback"}"#, "net.d/10-a.conf")
    fixture.write(list("a"), "net.d/20-a.conflist")
    fixture.write("{", "net.d/00-broken.conflist")
    // Lists come first, as in the Go library.
    #expect(try directory.network(named: "a").list.plugins.map(\.type) == ["bridge"])
    #expect(try directory.defaultNetwork().list.plugins.map(\.type) == ["loopback"])
    let missing = try #require(
      runtimeError { () throws(RuntimeError) in _ = try directory.network(named: "z") })
    #expect(missing.kind == .networkNotFound)
    #expect(missing.description.contains("cannot find network \"z\""))
    #expect(missing.description.contains("there are: a, a"))
    #expect(missing.description.contains("00-broken.conflist:1:"))
  }

  @Test func tellsNothingFromNotFound() throws {
    let empty = runtimeError { () throws(RuntimeError) in _ = try directory.network(named: "a") }
    #expect(empty?.kind == .noConfiguration)
    #expect(empty?.description.contains("there is no network configuration in \(directory.path)") == true)
    let absent = ConfigurationDirectory("\(fixture.path)/absent")
    #expect(absent.load().networks.isEmpty && absent.load().problems.isEmpty)
    let error = runtimeError { () throws(RuntimeError) in _ = try absent.defaultNetwork() }
    #expect(error?.kind == .noConfiguration)
    fixture.write("{", "net.d/00-broken.conflist")
    let broken = runtimeError { () throws(RuntimeError) in _ = try directory.defaultNetwork() }
    #expect(broken?.description.contains("can be used: \(directory.path)/00-broken.conflist:1:") == true)
    fixture.write("x", "file")
    #expect(ConfigurationDirectory("\(fixture.path)/file").load().problems.count == 1)
  }

  @Test func loadsOneFile() throws {
    fixture.write(list("a"), "net.d/10-a.conflist")
    #expect(try NetworkConfigurationList.load(file: "\(directory.path)/10-a.conflist").name == "a")
    let error = runtimeError { () throws(RuntimeError) in
      _ = try NetworkConfigurationList.load(file: "\(directory.path)/none.conflist")
    }
    #expect(error?.description.contains("there is no such file") == true)
  }
}
