import Glibc

/// A DHCP server of the machine, dnsmasq or kea, that serves one interface of the test's own namespace with files in a
/// directory of its own. Ended with the value; restarted, it knows its leases again.
public final class DHCPServer {
  /// The programs, with what is particular to the test.
  public enum Program: Sendable {
    /// dnsmasq, which serves both families and sends router advertisements, with arguments such as
    /// `--dhcp-range=10.0.0.10,10.0.0.99,2m`.
    case dnsmasq([String])
    /// kea-dhcp4, with members of `Dhcp4` as JSON text: `"subnet4":[…],"valid-lifetime":4`.
    case kea4(String)
    /// kea-dhcp6, with members of `Dhcp6` as JSON text.
    case kea6(String)

    var executable: String {
      switch self {
      case .dnsmasq: "dnsmasq"
      case .kea4: "kea-dhcp4"
      case .kea6: "kea-dhcp6"
      }
    }
  }

  /// What it is started as; takes effect with the next ``start()``.
  public var program: Program
  private let interface: String
  private let directory: TemporaryDirectory
  private var process: ChildProcess?

  /// Starts a server, in the namespaces of the calling thread, and waits until it serves. The interface is up and has its
  /// addresses.
  public init(_ program: Program, on interface: String) throws {
    self.program = program
    self.interface = interface
    directory = try TemporaryDirectory()
    try start()
  }

  /// Starts it again after ``stop()``, with the leases that it knew.
  public func start() throws {
    precondition(process == nil, "the server is running")
    unlink(logPath)
    var environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
    var arguments = [program.executable]
    let sign: String
    switch program {
    case .dnsmasq(let own):
      arguments += [
        "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=\(interface)",
        "--user=root",
        "--group=root", "--pid-file=", "--dhcp-leasefile=\(leasePath)", "--log-facility=\(logPath)",
        "--log-dhcp",
        "--no-ping",
      ]
      arguments += own
      sign = "started, version"
    case .kea4(let members), .kea6(let members):
      // Its locks, its identity and the marks of its process would go to directories that the whole machine shares.
      environment["KEA_LOCKFILE_DIR"] = directory.path
      environment["KEA_PIDFILE_DIR"] = directory.path
      try write(configuration(members), to: directory.file("configuration.json"))
      arguments += ["-c", directory.file("configuration.json")]
      sign = "_STARTED Kea"
    }
    process = try ChildProcess(arguments, environment: environment)
    try waitForLog(sign)
  }

  private func configuration(_ members: String) -> String {
    let (name, isFour) = if case .kea4 = program { ("Dhcp4", true) } else { ("Dhcp6", false) }
    let identity = isFour ? "" : #""data-directory":"\#(directory.path)","#
    return """
      {"\(name)":{"interfaces-config":{"interfaces":["\(interface)"]},\(identity)
       "lease-database":{"type":"memfile","persist":true,"name":"\(leasePath)","lfc-interval":0},
       "loggers":[{"name":"\(program.executable)","severity":"DEBUG","debuglevel":50,
                   "output_options":[{"output":"\(logPath)","flush":true}]}],
       \(members)}}
      """
  }

  /// Ends it, as an administrator would.
  public func stop() throws {
    guard let process else { return }
    process.send(signal: SIGCONT)
    process.send(signal: SIGTERM)
    _ = try process.wait(timeout: 10)
    self.process = nil
  }

  /// Lets it answer nothing until ``proceed()``. What arrives meanwhile waits in its socket.
  public func pause() { process?.send(signal: SIGSTOP) }
  /// Lets it answer again.
  public func proceed() { process?.send(signal: SIGCONT) }

  /// Has it forget all leases. It is to be stopped.
  public func forgetLeases() {
    precondition(process == nil, "the server is running, and would write its leases again")
    unlink(leasePath)
  }

  /// Has kea-dhcp6 be another server, by its identifier, from now on. It is to be stopped.
  public func forgetIdentity() {
    precondition(process == nil, "the server is running")
    unlink(directory.file("kea-dhcp6-serverid"))
    // The next one is made of the time in seconds.
    usleep(1_100_000)
  }

  /// What it has written to its log since it was started.
  public var log: String { contents(logPath) }
  /// The file of its leases.
  public var leases: String { contents(leasePath) }

  /// Waits until the log has `count` lines with a text; throws with the whole log if it has not within `timeout` seconds or
  /// the server ends before.
  public func waitForLog(_ text: String, count: Int = 1, timeout: Double = 15) throws {
    var rest = timeout
    while true {
      if log.split(separator: "\n").count(where: { $0.contains(text) }) >= count { return }
      let ended = process.map { kill($0.pid, 0) != 0 || isZombie($0.pid) } ?? true
      guard !ended, rest > 0 else {
        let output = ended ? (try? process?.wait(timeout: 1)).map { "\($0)" } ?? "" : ""
        throw ServerFailure(
          description:
            "\(program.executable) \(ended ? "ended" : "ran") without \"\(text)\":\n\(log)\n\(output)")
      }
      usleep(10_000)
      rest -= 0.01
    }
  }

  private var logPath: String { directory.file("log") }
  private var leasePath: String { directory.file("leases") }
}

/// A server that does not do what the test needs.
struct ServerFailure: Error, CustomStringConvertible {
  let description: String
}

private func isZombie(_ pid: pid_t) -> Bool {
  contents("/proc/\(pid)/stat").split(separator: " ").dropFirst(2).first == "Z"
}

private func contents(_ path: String) -> String {
  guard let file = fopen(path, "re") else { return "" }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    if count == 0 { return String(decoding: bytes, as: UTF8.self) }
    bytes += buffer[..<count]
  }
}

private func write(_ text: String, to path: String) throws {
  guard let file = fopen(path, "we") else { throw SetupError("open \(path)") }
  defer { fclose(file) }
  guard fputs(text, file) >= 0 else { throw SetupError("write \(path)") }
}
