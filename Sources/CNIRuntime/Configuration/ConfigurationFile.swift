import CNI
import Glibc
import LinuxNetworking

/// A problem as an error of its own, to keep `throws` typed.
struct UnusableConfiguration: Error {
  enum Kind {
    /// Its content is of no use, or cannot be read.
    case broken
    /// It is only that somebody is writing it.
    case beingWritten
    /// There is a link, but no file.
    case absent
  }

  var problem: ConfigurationProblem
  var kind = Kind.broken
}

/// One file of a configuration directory.
struct ConfigurationFile {
  /// A list (`.conflist`), or a single plugin (`.conf`, `.json`) as they were before 1.0.0.
  enum Form {
    case list
    case single
    /// What its content says: a file that was named needs no name of a certain form.
    case either
  }

  let path: String
  let form: Form

  /// `nil` for names that belong to no configuration: other extensions, hidden files.
  init?(directory: String, name: String) {
    guard !name.hasPrefix("."), let dot = name.lastIndex(of: ".") else { return nil }
    switch name[dot...] {
    case ".conflist": form = .list
    case ".conf", ".json": form = .single
    default: return nil
    }
    path = "\(directory)/\(name)"
  }

  init(path: String, form: Form) {
    self.path = path
    self.form = form
  }

  /// The network of this file. `nil` if the file is gone, or is a directory.
  func load(with reader: ConfigurationReader) throws(UnusableConfiguration) -> NetworkConfigurationList? {
    guard let json = try reader.json(path) else { return nil }
    if case .object(let object) = json.kind { try checkForm(object) }
    do throws(CNIError) {
      if form == .single || form == .either && isSingle(json) {
        return try NetworkConfigurationList.wrapping(PluginConfiguration(json: json, source: path))
      }
    } catch { throw UnusableConfiguration(problem: ConfigurationProblem(file: path, error)) }
    var list: NetworkConfigurationList
    do throws(CNIError) { list = try NetworkConfigurationList(json: json, source: path) } catch {
      throw UnusableConfiguration(problem: ConfigurationProblem(file: path, error))
    }
    if !list.loadOnlyInlinedPlugins { try appendPlugins(to: &list, with: reader) }
    if list.plugins.isEmpty {
      throw UnusableConfiguration(
        problem: ConfigurationProblem(
          file: path, position: json.position, reason: "network \"\(list.name)\" has no plugins",
          remedy: "list them under \"plugins\", or put their .conf files into \(pluginDirectory(list.name))"))
    }
    return list
  }

  /// Whether it is a single plugin; by the name only if its content says nothing: a list need not have plugins in it.
  private func isSingle(_ json: JSONValue) -> Bool {
    guard case .object(let object) = json.kind else { return false }
    if object.member(matching: "plugins") != nil { return false }
    return object.member(matching: "type") != nil || path.hasSuffix(".conf") || path.hasSuffix(".json")
  }

  /// A list under the name of a single configuration, and the other way round, is the most frequent mistake.
  private func checkForm(_ object: JSONObject) throws(UnusableConfiguration) {
    let hasPlugins = object.member(matching: "plugins")
    let hasType = object.member(matching: "type")
    if form == .single, let hasPlugins, hasType == nil {
      throw UnusableConfiguration(
        problem: ConfigurationProblem(
          file: path, position: hasPlugins.keyPosition,
          reason: "it is a list of plugins under the name of a single one",
          remedy: "rename it so that it ends in .conflist"))
    }
    if form == .list, let hasType, hasPlugins == nil {
      throw UnusableConfiguration(
        problem: ConfigurationProblem(
          file: path, position: hasType.keyPosition, reason: "it is a single plugin under the name of a list",
          remedy: "rename it so that it ends in .conf, or put it into a list under \"plugins\""))
    }
  }

  /// The plugins in the directory that has the network's name, beside this file, in order of their names.
  private func appendPlugins(
    to list: inout NetworkConfigurationList, with reader: ConfigurationReader
  ) throws(UnusableConfiguration) {
    let directory = pluginDirectory(list.name)
    let names: [String]
    do throws(FileError) { names = try reader.names(in: directory) } catch {
      // A file of that name is none of ours.
      if error.errno == .notDirectory { return }
      throw UnusableConfiguration(problem: ConfigurationProblem(file: directory, reason: "\(error)"))
    }
    for name in names {
      guard !name.hasPrefix("."), name.hasSuffix(".conf") else { continue }
      let file = ConfigurationFile(path: "\(directory)/\(name)", form: .single)
      guard let json = try reader.json(file.path) else { continue }
      do throws(CNIError) { try list.append(pluginFrom: json, source: file.path) } catch {
        throw UnusableConfiguration(problem: ConfigurationProblem(file: file.path, error))
      }
    }
  }

  func pluginDirectory(_ network: String) -> String {
    let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    return "\(parent)/\(network)"
  }
}
