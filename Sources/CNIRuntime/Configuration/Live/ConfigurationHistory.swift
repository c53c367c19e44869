import CNI
import LinuxNetworking

/// A configuration directory that is read again and again: what it holds, and what its files held before they broke.
struct ConfigurationHistory {
  let directory: ConfigurationDirectory
  private(set) var contents = ConfigurationDirectory.Contents(networks: [], problems: [])
  /// Whether no file was being written and nothing changed while it was read: otherwise it is to be read again soon.
  private(set) var isSettled = true
  /// The files that somebody was writing.
  private(set) var beingWritten: [String] = []
  private let reader = ConfigurationReader(patience: .zero)
  /// The last good content of each file that is there.
  private var good: [String: NetworkConfigurationList] = [:]

  init(_ directory: ConfigurationDirectory) {
    self.directory = directory
  }

  /// What has to be watched to learn of the next change.
  var targets: [PathWatch.Target] { reader.targets }

  /// Reads everything.
  mutating func read() {
    // Of a directory that is changed while it is read one would see some files of before and some of after: a set that never
    // was. Whoever changes it all the time is no reason to wait for ever.
    for _ in 0..<4 {
      reader.begin()
      readOnce()
      isSettled = reader.isConsistent
      if isSettled { break }
    }
    if reader.hasUnsettled { isSettled = false }
    reader.end()
  }

  private mutating func readOnce() {
    var problems: [ConfigurationProblem] = []
    var outdated: [String] = []
    beingWritten = []
    let files: [ConfigurationFile]
    do throws(UnusableConfiguration) { files = try directory.files(with: reader) } catch {
      // It is there and cannot be read. That says nothing about what is in it.
      contents.problems = [error.problem]
      contents.outdatedFiles = good.keys.sorted()
      return
    }
    let present = Set(files.map(\.path))
    good = good.filter { present.contains($0.key) }
    var found: [LoadedNetwork] = []
    for file in files {
      do throws(UnusableConfiguration) {
        good[file.path] = try file.load(with: reader)
      } catch {
        switch error.kind {
        case .absent: good[file.path] = nil
        case .broken, .beingWritten: if good[file.path] != nil { outdated.append(file.path) }
        }
        if error.kind == .beingWritten {
          beingWritten.append(file.path)
        } else {
          problems.append(error.problem)
        }
      }
      if let list = good[file.path] { found.append(LoadedNetwork(list: list, file: file.path)) }
    }
    choose(from: found, outdated, &problems)
  }

  /// Of several files for one network the first by name counts, but none that is broken where another one is good: that may
  /// be the one that was meant to replace it.
  private mutating func choose(
    from found: [LoadedNetwork], _ outdated: [String], _ problems: inout [ConfigurationProblem]
  ) {
    var chosen: [String: LoadedNetwork] = [:]
    for network in found where chosen[network.name] == nil && !outdated.contains(network.file) {
      chosen[network.name] = network
    }
    for network in found where chosen[network.name] == nil { chosen[network.name] = network }
    for network in found {
      guard let first = chosen[network.name], first != network, !outdated.contains(network.file) else {
        continue
      }
      problems.append(.duplicate(network.file, of: first))
    }
    contents.networks = found.filter { chosen[$0.name] == $0 }
    contents.problems = problems
    contents.outdatedFiles = outdated.filter { file in contents.networks.contains { $0.file == file } }
  }
}
