import CNI

/// A configuration file that cannot be used, or not as somebody may expect. It stops no other file.
public struct ConfigurationProblem: Sendable, Hashable {
  /// The file.
  public var file: String
  /// Where in the file; `nil` if it is about the whole of it.
  public var position: SourcePosition?
  /// What is wrong.
  public var reason: String
  /// What to do; may be empty.
  public var remedy: String

  /// A problem with a file.
  public init(file: String, position: SourcePosition? = nil, reason: String, remedy: String = "") {
    self.file = file
    self.position = position
    self.reason = reason
    self.remedy = remedy
  }

  /// The line, from 1; `nil` if it is about the whole file.
  public var line: Int? { position.map { Int($0.line) } }

  /// From an error of the configuration reader, whose text ends in "(file line 3, column 5)" when it knows the place.
  init(file: String, _ error: CNIError) {
    self.file = file
    remedy = error.details
    reason = error.message
    guard reason.hasSuffix(")"), let start = reason.lastIndex(of: "(") else { return }
    let place = reason[start...].dropFirst().dropLast()
    guard place.hasPrefix(file) else { return }
    let numbers = place.dropFirst(file.count).split { !$0.isNumber }.compactMap { UInt32($0) }
    if numbers.count == 2 { position = SourcePosition(line: numbers[0], column: numbers[1]) }
    reason = String(reason[..<start].dropLast())
  }
}

extension ConfigurationProblem {
  /// Another file for a network that has one.
  static func duplicate(_ file: String, of first: LoadedNetwork) -> ConfigurationProblem {
    ConfigurationProblem(
      file: file, reason: "network \"\(first.name)\" is configured by \(first.file) already",
      remedy: "remove one of the files, or give one of the networks another name")
  }
}

extension ConfigurationProblem: CustomStringConvertible {
  /// `/etc/cni/net.d/10-x.conflist:3:5: plugins[0].type is missing: name the plugin to run`
  public var description: String {
    let place = position.map { ":\($0.line):\($0.column)" } ?? ""
    return "\(file)\(place): \(reason)" + (remedy.isEmpty ? "" : ": \(remedy)")
  }
}
