import CNI
import SystemPackage

/// A plugin that did not do what it was asked to: which one, for which network, and everything that is known of why.
public struct PluginFailure: Error, Sendable {
  /// What went wrong.
  public enum Cause: Sendable {
    /// The plugin has said so itself.
    case error(CNIError)
    /// It ended with a status other than 0 and without an error that could be read.
    case exited(Int32)
    /// A signal ended it.
    case signaled(Int32, coreDumped: Bool)
    /// It ended, and nobody knows how.
    case unknownStatus
    /// There is no such plugin; the error says where it was looked for.
    case notFound(CNIError)
    /// The file is there and could not be executed, or there was no room for another process.
    case notStarted(Errno)
    /// It took longer than it may.
    case timedOut
    /// Somebody has called it off.
    case cancelled
    /// It ended as if it had succeeded, but its reply is none.
    case unreadableReply(reason: String)
  }

  /// The plugin's type.
  public var plugin: String
  /// The network; empty where there is none (VERSION).
  public var network: String
  /// What it was asked to do.
  public var command: Command
  /// The file that was executed; `nil` for a plugin in this executable, or one that was not found.
  public var path: String?
  /// What went wrong.
  public var cause: Cause
  /// How it ended, if it ran.
  public var exitStatus: ExitStatus?
  /// The beginning of its standard output, where that was no reply.
  public var output: [UInt8]
  /// The end of its standard error.
  public var standardErrorTail: [UInt8]

  /// The run of a plugin in this process that was stopped and did not heed it: nobody can end a thread.
  var leftRunning: InProcessRun?

  /// Waits at most so long for a plugin in this process that was stopped and goes on all the same. False if it still runs
  /// then: what it does comes after whatever is done about this failure.
  public func hasEnded(within duration: Duration) -> Bool { leftRunning?.ends(by: .after(duration)) ?? true }

  /// A failure. What is not known may be left out.
  public init(
    plugin: String, network: String, command: Command, cause: Cause, path: String? = nil,
    exitStatus: ExitStatus? = nil, output: [UInt8] = [], standardErrorTail: [UInt8] = []
  ) {
    self.plugin = plugin
    self.network = network
    self.command = command
    self.path = path
    self.cause = cause
    self.exitStatus = exitStatus
    self.output = output
    self.standardErrorTail = standardErrorTail
  }

  /// The same as the error that goes to whoever called us: with the plugin's own code if it had one.
  public var cniError: CNIError {
    switch cause {
    case .error(let error):
      return CNIError(error.code, "\(subject): \(error.message)", details: error.details)
    case .notFound(let error):
      return CNIError(error.code, "\(subject): \(error.message)", details: error.details)
    case .unreadableReply: return CNIError(.decodingFailure, description)
    case .exited, .signaled, .unknownStatus, .notStarted, .timedOut, .cancelled:
      return CNIError(.internalError, description)
    }
  }
}

extension PluginFailure: CustomStringConvertible {
  /// `plugin "bridge" failed to ADD to network "podnet": …` with the file, how the plugin ended, what it wrote
  /// instead of a reply, and its last words.
  public var description: String {
    var text = "\(subject): \(reason)"
    if !output.isEmpty { text += "; it wrote \(quoted(output.prefix(200), cutAtEnd: output.count > 200))" }
    let words = lastWords
    if !words.isEmpty { text += "; its last words on stderr: \(words)" }
    return text
  }

  /// The end of standard error in quotes, at most some 1000 characters; empty if there was none.
  public var lastWords: String {
    guard let last = standardErrorTail.lastIndex(where: { !isBlank($0) }) else { return "" }
    let words = standardErrorTail[...last]
    let shown = words.suffix(1000).drop(while: isBlank)
    return quoted(shown, cutAtStart: words.count > 1000)
  }

  private var subject: String {
    let file = path.map { " (\($0))" } ?? ""
    let action =
      switch command {
      case .add: "failed to ADD to"
      case .del: "failed to DEL from"
      case .check: "failed the CHECK of"
      case .gc: "failed the GC of"
      case .status: "failed the STATUS of"
      case .version: "failed to tell its VERSION"
      }
    if command == .version { return "plugin \"\(plugin)\"\(file) \(action)" }
    return "plugin \"\(plugin)\"\(file) \(action) network \"\(network)\""
  }

  private var reason: String {
    switch cause {
    case .error(let error):
      let details = error.details.isEmpty ? "" : ": \(error.details)"
      return "\(error.message)\(details) (code \(error.code.rawValue))"
    case .exited, .signaled, .unknownStatus:
      return "\(exitStatus?.description ?? "it ended") without saying why"
    case .notFound(let error):
      return error.details.isEmpty ? error.message : "\(error.message): \(error.details)"
    case .notStarted(let errno): return "it could not be executed: \(errno)\(hint(errno))"
    case .timedOut: return "it did not finish in time and was stopped\(ending)"
    case .cancelled: return "it was called off\(ending)"
    case .unreadableReply(let reason): return "\(reason)\(ending)"
    }
  }

  private var ending: String { exitStatus.map { "; \($0)" } ?? "" }

  private func hint(_ errno: Errno) -> String {
    switch errno {
    case .noSuchFileOrDirectory: " (the interpreter or loader that it names is missing)"
    case .execFormatError: " (built for another machine, cut short, or a script without \"#!\")"
    case .permissionDenied: " (no permission, or its file system is mounted noexec)"
    case .textFileBusy: " (somebody is still writing it)"
    case .invalidArgument: " (a parameter has a NUL byte in it)"
    default: ""
    }
  }
}

private func isBlank(_ byte: UInt8) -> Bool { byte <= 0x20 }

/// Bytes of unknown origin as one line of text: quotes, line ends and control characters escaped.
func quoted(_ bytes: some Sequence<UInt8>, cutAtStart: Bool = false, cutAtEnd: Bool = false) -> String {
  var text = cutAtStart ? "\"…" : "\""
  for scalar in String(decoding: Array(bytes), as: UTF8.self).unicodeScalars {
    switch scalar {
    case "\n": text += "\\n"
    case "\t": text += "\\t"
    case "\r": text += "\\r"
    case "\"": text += "\\\""
    case "\\": text += "\\\\"
    case _ where scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value):
      text += "\\u{\(String(scalar.value, radix: 16))}"
    default: text.unicodeScalars.append(scalar)
    }
  }
  return text + (cutAtEnd ? "…\"" : "\"")
}
