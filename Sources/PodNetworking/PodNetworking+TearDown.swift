import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Logging

extension PodNetworking {
  /// Detaches a pod from the networks that it names, or if it names none from all that are remembered of it.
  ///
  /// Works with the configurations that it was attached by, whatever has become of them, and with the namespace gone. The
  /// directory's configuration is used where none is remembered that is of use, or nothing at all of the pod. Goes through all
  /// networks whatever fails, and throws one error at the end. May be called any number of times; what is gone already, or has
  /// never been there, is no error.
  ///
  /// A selection without interface stands for what its network has in this pod. One without network stands for the attachment
  /// that has the interface, or that today's default network has, or else for the one by the name that the interface would
  /// have in a new pod: whoever detaches one of several better says the network.
  ///
  /// - Parameters:
  ///   - pod: the pod. Without the path of its network namespace (it is gone) the one of the set-up is used, unless another
  ///     process could have taken its place (`/proc/…`).
  ///   - time: how long that may take, waiting included; `nil` is no limit.
  /// - Throws: one error with all that could not be detached, or if what is remembered cannot be listed.
  public func tearDown(_ pod: Pod, within time: Duration? = nil) async throws(PodNetworkError) {
    let operation = "tear down the networks of pod \(pod)"
    let deadline = time?.deadline
    try await withTurn(of: pod, until: deadline, operation) { [self] () async throws(PodNetworkError) in
      let known = try await blocking(until: deadline, operation) { [self] _ in
        Result { () throws(PodNetworkError) in
          let known = try attachmentsMeant(by: pod, operation)
          forgetLoopback(of: pod.id)
          for error in known.missing {
            options.logger.notice("there is nothing to tear down: \(error)", metadata: ["pod": "\(pod)"])
          }
          return known
        }
      }
      var failures = known.failures
      for each in known.attachments.reversed() {
        do throws(RuntimeError) {
          try await runtime.delete(each.list, each.parameters, limits: limits(deadline))
        } catch { failures.append(error) }
      }
      if !failures.isEmpty { throw PodNetworkError(operation: operation, failures: failures) }
    }
  }

  /// CRI-O once had the loopback interface brought up by a network of this name, and remembered that. There is nothing to take
  /// back. Blocks.
  func forgetLoopback(of containerID: String) {
    guard (try? Validation.containerID(containerID)) != nil else { return }
    let attachment = Attachment(containerID: containerID, interfaceName: "lo")
    _ = try? runtime.runtime.cache.remove(network: "cni-loopback", attachment)
  }
}
