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
  /// Whether nobody looks at `state` any more once this value is gone.
  private let ownsState: Bool

  /// The networks of `directory`, which is read before this returns.
  public init(_ directory: ConfigurationDirectory = ConfigurationDirectory(), mode: Mode = .watching) {
    let state = State(directory.absolute)
    self.state = state
    self.mode = mode
    ownsState = true
    switch mode {
    case .onUse:
      watch = nil
      state.reload()
    case .watching: watch = ConfigurationWatch(state)
    }
  }

  /// Watches what `other` has read so far and goes on to read: both know the same of files that break.
  private init(watching other: LiveConfigurations) {
    state = other.state
    mode = .watching
    ownsState = false
    watch = ConfigurationWatch(other.state)
  }

  deinit {
    watch?.stop()
    if ownsState { state.finish() }
  }

  /// The same networks, watched as long as the value that is returned is there. Its ``changes`` end with the task that waits
  /// for them, or with this value.
  package func watched() -> LiveConfigurations { LiveConfigurations(watching: self) }

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
    if ownsState { state.finish() }
  }

  /// What the directory holds once nobody is writing a file of it any more, or after a moment (200 ms): then with the files
  /// that are still being written, which count with what they held before, or not at all. Blocks.
  package func settledContents() -> (contents: ConfigurationDirectory.Contents, beingWritten: [String]) {
    let now = reloadPatiently { _ in false }
    return (now.contents, now.beingWritten)
  }

  /// The network of that name. If there is none, the directory is read before this is said.
  /// - Throws: `networkNotFound`, with what is wrong with the files that could not be read; `noConfiguration` if there is
  ///   no file at all.
  public func network(named name: String) throws(RuntimeError) -> LoadedNetwork {
    if let network = contents[name] { return network }
    let now = reloadPatiently { $0[name] != nil }.contents
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
    let now = reloadPatiently { !$0.networks.isEmpty }.contents
    if let network = now.networks.first { return network }
    throw directory.noConfiguration("find the default network", "", now.problems)
  }

  /// Waits for files that are just being written, if there are any; a moment at most.
  private func reloadPatiently(
    until isEnough: (ConfigurationDirectory.Contents) -> Bool
  ) -> State.Reading {
    let deadline = Deadline.after(ConfigurationReader.usualPatience)
    while true {
      let now = state.read()
      if isEnough(now.contents) || now.isSettled || deadline.hasPassed { return now }
      state.pause(milliseconds: 5)
    }
  }
}
