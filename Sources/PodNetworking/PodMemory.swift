import CNI
import CNIRuntime
import LinuxNetworking

/// What the cache says of one attachment of a pod.
struct RememberedAttachment: Sendable {
  var network: String
  var parameters: AttachmentParameters
  /// The configuration that it was made with; `nil` if that is of no use, or is not remembered.
  var list: NetworkConfigurationList?
  /// What is wrong with the configuration.
  var complaint: CNIError?
  /// Whether its set-up has come to its end.
  var isFinished: Bool
  /// The file.
  var file: String

  var attachment: Attachment { parameters.attachment }
}

/// All that the cache says of one pod, those interfaces first whose names nobody has chosen, in the order in which they
/// were given: so the order is that of the selections.
struct PodMemory: Sendable {
  private(set) var attachments: [RememberedAttachment] = []

  static let nothing = PodMemory()

  private init() {}

  /// - Parameter isConfigured: Which networks there are: file names may be read in several ways.
  init(_ listing: ResultCache.Listing, containerID: String, isConfigured: (String) -> Bool) {
    for entry in listing.entries {
      var remembered = RememberedAttachment(
        network: entry.network, parameters: entry.parameters, isFinished: entry.result != nil,
        file: "\(entry.network)-\(entry.attachment.containerID)-\(entry.attachment.interfaceName)")
      do throws(CNIError) { remembered.list = try entry.configurationList() } catch {
        remembered.complaint = error
      }
      attachments.append(remembered)
    }
    // What cannot be read (a power cut), or holds nothing but a result, still tells by its name what it is about.
    for (file, isFinished) in listing.problems.map({ ($0.file, false) })
      + listing.bareResults.map({ ($0, true) })
    {
      let readings = AttachmentName.readings(ofFile: file, containerID: containerID)
      guard let name = readings.first(where: { isConfigured($0.network) }) ?? readings.first else { continue }
      attachments.append(
        RememberedAttachment(
          network: name.network,
          parameters: AttachmentParameters(
            containerID: containerID, namespace: "", interfaceName: name.interfaceName),
          complaint: CNIError(.decodingFailure, "its configuration is not remembered"),
          isFinished: isFinished, file: file))
    }
    attachments = attachments.filter { !$0.isBareLoopback }.sorted { $0.order < $1.order }
  }

  var isEmpty: Bool { attachments.isEmpty }

  /// What has that name in the namespace at `path`: of several, one that was made there and has come to its end.
  func holder(of interface: String, in path: String) -> RememberedAttachment? {
    let candidates = attachments.filter { $0.parameters.interfaceName == interface }
    if candidates.count < 2 || path.isEmpty { return candidates.first }
    let there = candidates.filter { PodNamespace.isSame($0.parameters.namespace, path) }
    return there.first(where: \.isFinished) ?? there.first ?? candidates.first
  }

  /// What was made in the namespace at `path`, or may have been. An attachment in another one is a left-over: the pod was
  /// started anew.
  func made(in path: String) -> [RememberedAttachment] {
    attachments.filter {
      $0.parameters.namespace.isEmpty || PodNamespace.isSame($0.parameters.namespace, path)
    }
  }
}

extension RememberedAttachment {
  /// Whether it is what CRI-O once remembered of a loopback interface.
  fileprivate var isBareLoopback: Bool { network == "cni-loopback" && parameters.interfaceName == "lo" }

  fileprivate var order: Order {
    let name = parameters.interfaceName
    let number = name.hasPrefix("eth") ? Int(name.dropFirst(3)) : nil
    return Order(number: number ?? .max, name: name, network: network)
  }

  fileprivate struct Order: Comparable {
    var number: Int
    var name: String
    var network: String

    static func < (left: Order, right: Order) -> Bool {
      (left.number, left.name, left.network) < (right.number, right.name, right.network)
    }
  }
}

extension CacheEntry {
  /// Whether it is what CRI-O once remembered of a loopback interface.
  var isBareLoopback: Bool { network == "cni-loopback" && parameters.interfaceName == "lo" }
}

/// What the name of a file of the cache says.
struct AttachmentName: Sendable, Hashable {
  var network: String
  var interfaceName: String

  /// All that it can mean for a container: names may contain hyphens, and so the ID itself may occur more than once.
  static func readings(ofFile file: String, containerID: String) -> [AttachmentName] {
    let bytes = Array((file.split(separator: "/").last ?? "").utf8)
    let separator = Array("-\(containerID)-".utf8)
    guard bytes.count > separator.count else { return [] }
    return (0...(bytes.count - separator.count)).compactMap { start in
      guard bytes[start...].starts(with: separator) else { return nil }
      let name = AttachmentName(
        network: String(decoding: bytes[..<start], as: UTF8.self),
        interfaceName: String(decoding: bytes[(start + separator.count)...], as: UTF8.self))
      let isValid =
        (try? Validation.attachment(
          network: name.network, containerID: containerID, interfaceName: name.interfaceName)) != nil
      return isValid ? name : nil
    }
  }
}

extension PodNetworking {
  /// What is remembered of a pod. Blocks.
  /// - Throws: if that cannot be found out; then nothing can be said to be gone.
  func recall(_ pod: Pod, _ operation: String) throws(PodNetworkError) -> PodMemory {
    let listing: ResultCache.Listing
    do throws(FileError) { listing = try runtime.runtime.cache.list(containerID: pod.id) } catch {
      throw PodNetworkError(operation: operation, failures: [cannotList(error)])
    }
    for problem in listing.problems { options.logger.warning("\(problem)", metadata: ["pod": "\(pod)"]) }
    return PodMemory(listing, containerID: pod.id) { configurations.contents[$0] != nil }
  }

  func cannotList(_ error: FileError) -> RuntimeError {
    RuntimeError(
      kind: .cache, operation: "find out what is attached", file: error.path,
      reason: "what is remembered cannot be listed: \(error)", code: .ioFailure)
  }
}
