import CNI
import LinuxNetworking

/// A network and the file that configures it.
public struct LoadedNetwork: Sendable, Hashable {
  /// The configuration; that of a single plugin has become a list of one.
  public var list: NetworkConfigurationList
  /// The file.
  public var file: String

  /// The network's name.
  public var name: String { list.name }
}

/// A directory of network configurations: `.conflist`, and `.conf` and `.json` for single plugins.
///
/// Every file counts for itself: one that is broken is a problem to report and hides no other. Hidden files and those with
/// other extensions (editors' and package managers' left-overs) are not looked at.
public struct ConfigurationDirectory: Sendable, Hashable {
  /// Where container runtimes look by default.
  public static let defaultPath = "/etc/cni/net.d"

  /// The directory.
  public var path: String

  /// A directory, which need not exist.
  public init(_ path: String = ConfigurationDirectory.defaultPath) {
    self.path = path
  }

  /// What a directory holds.
  public struct Contents: Sendable, Hashable {
    /// The networks, in the order of their files' names. The first one is the default network.
    public var networks: [LoadedNetwork]
    /// What is wrong with files.
    public var problems: [ConfigurationProblem]
    /// Files that are broken or being written now, and stand for what they held before: their networks are among
    /// ``networks``. Only ``LiveConfigurations`` knows what they held.
    public var outdatedFiles: [String] = []

    /// The network of that name.
    public subscript(name: String) -> LoadedNetwork? { networks.first { $0.name == name } }
  }

  /// Loads all networks. Of several files for the same network the first by name counts; the others are reported as
  /// problems.
  /// - Parameter maximum: how many networks to load at most.
  public func load(maximum: Int = .max) -> Contents {
    var contents = Contents(networks: [], problems: [])
    let reader = ConfigurationReader(patience: ConfigurationReader.usualPatience)
    let files: [ConfigurationFile]
    do throws(UnusableConfiguration) { files = try self.files(with: reader) } catch {
      contents.problems.append(error.problem)
      return contents
    }
    for file in files where contents.networks.count < maximum {
      do throws(UnusableConfiguration) {
        guard let list = try file.load(with: reader) else { continue }
        if let first = contents[list.name] {
          contents.problems.append(.duplicate(file.path, of: first))
        } else {
          contents.networks.append(LoadedNetwork(list: list, file: file.path))
        }
      } catch {
        contents.problems.append(error.problem)
      }
    }
    return contents
  }

  /// The network of that name. As in the Go library lists come first, then single plugins; each by file name.
  /// - Throws: `networkNotFound`, with what is wrong with the files that could not be read; `noConfiguration` if there
  ///   is no file at all.
  public func network(named name: String) throws(RuntimeError) -> LoadedNetwork {
    var problems: [ConfigurationProblem] = []
    var others: [String] = []
    var isEmpty = true
    let reader = ConfigurationReader(patience: ConfigurationReader.usualPatience)
    do throws(UnusableConfiguration) {
      let files = try self.files(with: reader)
      isEmpty = files.isEmpty
      for file in files.filter({ $0.form == .list }) + files.filter({ $0.form == .single }) {
        do throws(UnusableConfiguration) {
          guard let list = try file.load(with: reader) else { continue }
          if list.name == name { return LoadedNetwork(list: list, file: file.path) }
          others.append(list.name)
        } catch {
          problems.append(error.problem)
        }
      }
    } catch {
      problems.append(error.problem)
      isEmpty = false
    }
    if isEmpty { throw noConfiguration("find network \"\(name)\"", name) }
    throw notFound(name, others, problems)
  }

  /// The first network, in the order of ``load(maximum:)``.
  /// - Throws: `noConfiguration`, with what is wrong with the files that are there.
  public func defaultNetwork() throws(RuntimeError) -> LoadedNetwork {
    let contents = load(maximum: 1)
    if let first = contents.networks.first { return first }
    throw noConfiguration("find the default network", "", contents.problems)
  }

  func notFound(_ name: String, _ others: [String], _ problems: [ConfigurationProblem])
    -> RuntimeError
  {
    var reason = "no configuration in \(path) is for a network of that name"
    if !others.isEmpty { reason += " (there are: \(others.joined(separator: ", ")))" }
    if !problems.isEmpty {
      reason += "; files that cannot be used: \(problems.map(\.description).joined(separator: "; "))"
    }
    return RuntimeError(
      kind: .networkNotFound, operation: "find network \"\(name)\"", network: name, reason: reason,
      code: .invalidConfiguration)
  }

  func noConfiguration(
    _ operation: String, _ name: String, _ problems: [ConfigurationProblem] = []
  ) -> RuntimeError {
    RuntimeError(
      kind: .noConfiguration, operation: operation, network: name,
      reason: problems.isEmpty
        ? "there is no network configuration in \(path)"
        : "no network configuration in \(path) can be used: \(problems.map(\.description).joined(separator: "; "))",
      remedy: problems.isEmpty ? "put a .conflist file there" : "", code: .invalidConfiguration)
  }

  func files(with reader: ConfigurationReader) throws(UnusableConfiguration) -> [ConfigurationFile] {
    do throws(FileError) {
      return try reader.names(in: path).compactMap {
        ConfigurationFile(directory: path, name: $0)
      }
    } catch {
      throw UnusableConfiguration(problem: ConfigurationProblem(file: path, reason: "\(error)"))
    }
  }
}

extension NetworkConfigurationList {
  /// The network that a file configures: a list, or a single plugin. Its name does not matter where its content tells.
  /// - Throws: `invalidConfiguration`.
  public static func load(file: String) throws(RuntimeError) -> NetworkConfigurationList {
    let operation = "load \(file)"
    let reader = ConfigurationReader(patience: ConfigurationReader.usualPatience)
    do throws(UnusableConfiguration) {
      if let list = try ConfigurationFile(path: file, form: .either).load(with: reader) { return list }
    } catch {
      throw RuntimeError(
        kind: .invalidConfiguration, operation: operation, file: error.problem.file,
        reason: error.problem.position.map { "\($0): \(error.problem.reason)" } ?? error.problem.reason,
        remedy: error.problem.remedy, code: .invalidConfiguration)
    }
    throw RuntimeError(
      kind: .invalidConfiguration, operation: operation, file: file, reason: "there is no such file",
      code: .invalidConfiguration)
  }
}
