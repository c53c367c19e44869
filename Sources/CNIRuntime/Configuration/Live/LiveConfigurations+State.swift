import CNI
import Glibc
import LinuxNetworking
import Synchronization

extension LiveConfigurations {
  /// What the value, its watch and those who wait for changes share.
  final class State: Sendable {
    typealias Contents = ConfigurationDirectory.Contents
    typealias Observer = @Sendable (Contents) -> Void

    private struct Publication {
      var contents = Contents(networks: [], problems: [])
      var observers: [UInt64: (observe: Observer, finish: @Sendable () -> Void)] = [:]
      var lastObserver: UInt64 = 0
      var isFinished = false
    }

    let directory: ConfigurationDirectory
    /// Held while the directory is read and what was found is published, so that the newest comes last.
    private let history: Mutex<ConfigurationHistory>
    private let publication = Mutex(Publication())

    init(_ directory: ConfigurationDirectory) {
      self.directory = directory
      history = Mutex(ConfigurationHistory(directory))
    }

    var published: Contents { publication.withLock { $0.contents } }
    var isSettled: Bool { history.withLock { $0.isSettled } }

    /// What came of reading the directory once.
    struct Reading {
      var contents: Contents
      /// Whether there is no reason to read it again soon.
      var isSettled: Bool
      /// The files that could not be read because somebody is writing them.
      var beingWritten: [String]
    }

    /// Reads the directory and tells who waits for changes if there are any.
    @discardableResult
    func reload() -> Contents { read().contents }

    /// The same; tells all that is known.
    func read() -> Reading {
      history.withLock { history in
        history.read()
        publish(history.contents)
        return Reading(
          contents: history.contents, isSettled: history.isSettled, beingWritten: history.beingWritten)
      }
    }

    /// Reads the directory and tells nobody yet.
    /// - Returns: what to watch from now on.
    func look() -> [PathWatch.Target] {
      history.withLock { history in
        history.read()
        return history.targets
      }
    }

    /// Tells who waits for changes what was found last.
    func publish() { history.withLock { publish($0.contents) } }

    private func publish(_ contents: Contents) {
      let observers: [Observer] = publication.withLock { publication in
        guard contents != publication.contents else { return [] }
        publication.contents = contents
        return publication.observers.values.map(\.observe)
      }
      for observe in observers { observe(contents) }
    }

    /// Has `observe` called with what there is, and then with every change; `finish` at the end.
    /// - Returns: by which to end that; `nil` if it has ended already.
    func add(observe: @escaping Observer, finish: @escaping @Sendable () -> Void) -> UInt64? {
      history.withLock { _ in
        let (contents, number): (Contents, UInt64?) = publication.withLock { publication in
          guard !publication.isFinished else { return (publication.contents, nil) }
          publication.lastObserver += 1
          publication.observers[publication.lastObserver] = (observe, finish)
          return (publication.contents, publication.lastObserver)
        }
        observe(contents)
        if number == nil { finish() }
        return number
      }
    }

    func removeObserver(_ number: UInt64) {
      publication.withLock { _ = $0.observers.removeValue(forKey: number) }
    }

    /// There will be no changes any more.
    func finish() {
      let observers = publication.withLock { publication in
        publication.isFinished = true
        defer { publication.observers = [:] }
        return publication.observers.values.map(\.finish)
      }
      for finish in observers { finish() }
    }

    func pause(milliseconds: UInt32) { usleep(milliseconds * 1000) }
  }
}

extension ConfigurationDirectory {
  /// The same directory, wherever the process goes.
  var absolute: ConfigurationDirectory {
    guard !path.hasPrefix("/"), let here = getcwd(nil, 0) else { return self }
    defer { free(here) }
    return ConfigurationDirectory("\(String(cString: here))/\(path)")
  }
}
