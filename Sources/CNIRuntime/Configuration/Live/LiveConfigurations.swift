import CNI
import CNIExecution
import LinuxNetworking

/// The networks of a configuration directory as they are now, whatever happens to the directory.
///
/// A file counts with the content that it had when it could be read last. So one that is being written, or has been broken
/// by an edit, goes on to stand for what it held before, until it is whole again or is removed; meanwhile it is among
/// ``ConfigurationDirectory/Contents/outdatedFiles``, and what is wrong with it among
/// ``ConfigurationDirectory/Contents/problems``. What is half written is never used.
///
/// The directory need not exist. It may be made, removed, replaced, or be reached through symbolic links that are
/// redirected, as Kubernetes does for a config map (`..data`).
///
/// Safe to use from any number of threads and tasks. The calls that read the directory block their thread for that time (a
/// fraction of a millisecond for a few files).
public final class LiveConfigurations: Sendable {
  /// How to learn of changes.
  public enum Mode: Sendable, Hashable {
    /// The kernel tells (`inotify(7)`) a thread that this value has for it: ``contents`` is at hand, and some 10 ms behind
    /// the directory; a storm of changes is looked at every 100 ms. Where the kernel has no watch to give any more, the
    /// directory is read every second, and without a thread on use (``watchFailure`` says why).
    case watching
    /// Nothing tells: ``contents`` reads the directory each time.
    case onUse
  }

  /// The directory.
  public var directory: ConfigurationDirectory { state.directory }
  /// How changes are learned of.
  public let mode: Mode
  let state: State
  private let watch: ConfigurationWatch?

  /// The networks of `directory`, which is read before this returns.
  public init(_ directory: ConfigurationDirectory = ConfigurationDirectory(), mode: Mode = .watching) {
    let state = State(directory.absolute)
    self.state = state
    self.mode = mode
    switch mode {
    case .onUse:
      watch = nil
      state.reload()
    case .watching: watch = ConfigurationWatch(state)
    }
  }

  deinit {
    watch?.stop()
    state.finish()
  }

  /// What the directory holds: when watching, as the last change has left it; otherwise as it is now.
  public var contents: ConfigurationDirectory.Contents {
    watch?.isRunning == true ? state.published : state.reload()
  }

  /// Reads the directory now.
  @discardableResult
  public func reload() -> ConfigurationDirectory.Contents { state.reload() }

  /// Why changes are not noticed at once; `nil` if they are, or nobody has asked for that.
  public var watchFailure: FileError? { watch?.failure }

  /// Ends the watch and waits until its thread is gone; ``changes`` end. ``contents`` reads the directory each time from
  /// then on. May be called any number of times.
  public func close() {
    watch?.stop()
    watch?.waitUntilStopped()
    state.finish()
  }

  /// The network of that name. If there is none, the directory is read before this is said.
  /// - Throws: `networkNotFound`, with what is wrong with the files that could not be read; `noConfiguration` if there is
  ///   no file at all.
  public func network(named name: String) throws(RuntimeError) -> LoadedNetwork {
    if let network = contents[name] { return network }
    let now = reloadPatiently { $0[name] != nil }
    if let network = now[name] { return network }
    if now.networks.isEmpty && now.problems.isEmpty {
      throw directory.noConfiguration("find network \"\(name)\"", name)
    }
    throw directory.notFound(name, now.networks.map(\.name), now.problems)
  }

  /// The first network in the order of file names. If there is none, the directory is read before this is said.
  /// - Throws: `noConfiguration`, with what is wrong with the files that are there.
  public func defaultNetwork() throws(RuntimeError) -> LoadedNetwork {
    if let network = contents.networks.first { return network }
    let now = reloadPatiently { !$0.networks.isEmpty }
    if let network = now.networks.first { return network }
    throw directory.noConfiguration("find the default network", "", now.problems)
  }

  /// Waits for files that are just being written, if there are any; a moment at most.
  private func reloadPatiently(
    until isEnough: (ConfigurationDirectory.Contents) -> Bool
  ) -> ConfigurationDirectory.Contents {
    let deadline = Deadline.after(ConfigurationReader.usualPatience)
    while true {
      let now = state.reload()
      if isEnough(now) || state.isSettled || deadline.hasPassed { return now }
      state.pause(milliseconds: 5)
    }
  }
}
