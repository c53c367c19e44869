/// The daemon's command line, read as the Go daemon's is: `-flag value`, `-flag=value`, one hyphen or two.
enum DaemonFlags {
  /// What a command line comes to.
  enum Outcome {
    case run(DaemonSettings)
    /// It was asked for.
    case help
    /// It is wrong: what about it.
    case mistake(String)
  }

  static let help = """
    Usage: dhcp daemon [flags]

    Leases addresses for containers from DHCP servers, keeps the leases alive, and gives them back; the dhcp plugin talks to
    it through a socket. Leases are kept on disk: a daemon that is started again goes on with them.

      -broadcast                ask servers to answer to everybody on the link
      -hostprefix PATH          put PATH before the paths of namespaces, socket and state directory
      -pidfile PATH             write the process's number to this file (an absolute path)
      -probe DURATION           how long to ask the link whether somebody has the address already; 0: do not (default 5ms)
      -resendmax DURATION       longest pause between two attempts to get an address (default 1m2s)
      -resendtimeout DURATION   the same as -timeout; the shorter one counts (default 3m28s)
      -socketpath PATH          where the plugin connects (default /run/cni/dhcp.sock); a socket that the service manager
                                hands over (LISTEN_FDS) comes first
      -statedir PATH            where leases are kept (default /var/lib/cni/dhcp)
      -timeout DURATION         how long an ADD may take (default 3m28s)

    A duration is a number with a unit, or several: 500ms, 10s, 1m30s, 2h.
    """

  static func parse(_ arguments: [String]) -> Outcome {
    var settings = DaemonSettings()
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      guard argument.hasPrefix("-"), argument != "-" else {
        return .mistake("unexpected argument \"\(argument)\"")
      }
      if argument == "--" {
        if let next = rest.first { return .mistake("unexpected argument \"\(next)\"") }
        break
      }
      let body = argument.drop { $0 == "-" }
      guard argument.count - body.count <= 2, !body.isEmpty, body.first != "=" else {
        return .mistake("\"\(argument)\" is not a flag")
      }
      let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      var value = parts.count == 2 ? String(parts[1]) : nil
      if name == "h" || name == "help" { return .help }
      if name == "broadcast" {
        guard let truth = boolean(value ?? "true") else {
          return .mistake("-broadcast=\(value ?? "") is neither true nor false")
        }
        settings.broadcast = truth
        continue
      }
      guard known.contains(name) else { return .mistake("there is no flag -\(name)") }
      if value == nil { value = rest.popFirst() }
      guard let value else { return .mistake("-\(name) needs a value") }
      if let problem = set(name, value, &settings) { return .mistake(problem) }
    }
    return .run(settings)
  }

  private static let known = [
    "hostprefix", "pidfile", "probe", "resendmax", "resendtimeout", "socketpath", "statedir", "timeout",
  ]

  private static func set(_ name: String, _ value: String, _ settings: inout DaemonSettings) -> String? {
    switch name {
    case "hostprefix":
      guard value.isEmpty || value.hasPrefix("/"), !value.split(separator: "/").contains("..") else {
        return "-hostprefix: \"\(value)\" is not an absolute path without .."
      }
      settings.hostPrefix = value
    case "pidfile":
      guard value.isEmpty || value.hasPrefix("/") else {
        return "-pidfile: \"\(value)\" is not an absolute path"
      }
      settings.pidFile = value
    case "socketpath": if !value.isEmpty { settings.socketPath = value }
    case "statedir":
      guard value.hasPrefix("/") else { return "-statedir: \"\(value)\" is not an absolute path" }
      settings.stateDirectory = value
    default:
      guard let duration = GoDuration.parse(value) else {
        return "-\(name): \"\(value)\" is not a duration; write 500ms, 10s or 1m30s"
      }
      guard duration > .zero || name == "probe" && duration == .zero else {
        return "-\(name): \(value) is too short"
      }
      switch name {
      case "timeout": settings.timeout = duration
      case "resendtimeout": settings.resendTimeout = duration
      case "resendmax": settings.longestPause = duration
      default: settings.probing = duration
      }
    }
    return nil
  }

  /// What Go's `strconv.ParseBool` takes.
  private static func boolean(_ text: String) -> Bool? {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": true
    case "0", "f", "F", "false", "FALSE", "False": false
    default: nil
    }
  }
}

/// Durations as Go writes them.
enum GoDuration {
  private static let units: [(name: String, nanoseconds: Double)] = [
    ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
  ]

  /// `1m30s`, `1.5h`, `0`; `nil` for what is none, or is longer than 200 years.
  static func parse(_ text: String) -> Duration? {
    if text == "0" { return .zero }
    var rest = text[...]
    var sum = 0.0
    repeat {
      let number = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
      rest = rest.dropFirst(number.count)
      let unit = rest.prefix { !($0.isASCII && $0.isNumber || $0 == ".") }
      rest = rest.dropFirst(unit.count)
      guard !number.isEmpty, let value = Double(number),
        let scale = units.first(where: { $0.name == unit })?.nanoseconds
      else { return nil }
      sum += value * scale
    } while !rest.isEmpty
    guard sum < 6e18 else { return nil }
    return .nanoseconds(Int64(sum))
  }
}
