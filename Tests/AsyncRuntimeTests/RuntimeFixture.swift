import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Glibc
import Logging
import Synchronization
import TestSupport
import Tracing

/// A runtime over embedded plugins and scripts, in a directory of its own.
final class RuntimeFixture: Sendable {
  let directory: TemporaryDirectory
  /// What embedded plugins were asked, and what they knew of the trace.
  let calls = Mutex<[Call]>([])

  struct Call: Sendable {
    var type: String
    var command: Command
    var traceParent: String?
    var span: String?
  }

  init() throws { directory = try TemporaryDirectory() }

  func runtime(maximumConcurrency: Int = 8, limits: ExecutionLimits = .none) -> AsyncRuntime {
    var runtime = CNIRuntime(
      pluginPath: [directory.path], cacheDirectory: directory.file("cache"),
      embedded: EmbeddedPlugins(plugins),
      limits: limits)
    runtime.runner.passesOnStandardError = false
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return AsyncRuntime(runtime, maximumConcurrency: maximumConcurrency, logger: logger)
  }

  /// `inner` gives an address; `outer` leaves that to `inner`; `refuser` refuses.
  private var plugins: [EmbeddedPlugin] {
    [
      EmbeddedPlugin(type: "outer") { [self] request, environment in
        note("outer", request)
        do throws(PluginFailure) {
          if request.command != .add {
            _ = try environment.runner.execute("inner", request)
            return PluginReply()
          }
          return reply(try environment.runner.add("inner", request))
        } catch {
          return PluginReply(standardOutput: error.cniError.serialized(version: nil), exitStatus: .exited(1))
        }
      },
      EmbeddedPlugin(type: "inner", needsOwnThread: false) { [self] request, _ in
        note("inner", request)
        guard request.command == .add else { return PluginReply() }
        return reply(AddResult(ips: [IPConfiguration(address: .init("10.0.0.1/24")!)]))
      },
      EmbeddedPlugin(type: "refuser") { [self] request, _ in
        note("refuser", request)
        if request.command == .del { return PluginReply() }
        return PluginReply(
          standardOutput: CNIError(.tryAgainLater, "not now").serialized(version: nil), exitStatus: .exited(1)
        )
      },
    ]
  }

  private func reply(_ result: AddResult) -> PluginReply { try! PluginReply(result, version: .v1_1_0) }

  private func note(_ type: String, _ request: PluginRequest) {
    let call = Call(
      type: type, command: request.command,
      traceParent: request.extraEnvironment.first { $0.name == "TRACEPARENT" }?.value,
      span: ServiceContext.current?.w3cSpan)
    calls.withLock { $0.append(call) }
  }

  func script(_ name: String, _ body: String) {
    let file = directory.file(name)
    let stream = fopen(file, "w")!
    fputs("#!/bin/sh\n\(body)\n", stream)
    fclose(stream)
    chmod(file, 0o755)
  }

  /// What scripts have written to a file beside them, by line.
  func lines(_ name: String) -> [String] {
    guard let stream = fopen(directory.file(name), "r") else { return [] }
    defer { fclose(stream) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = fread(&bytes, 1, bytes.count, stream)
    return String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
  }

  func list(_ plugins: String..., name: String = "podnet") throws -> NetworkConfigurationList {
    let objects = plugins.map { #"{"type":"\#($0)"}"# }.joined(separator: ",")
    return try NetworkConfigurationList(
      bytes: Array(#"{"cniVersion":"1.1.0","name":"\#(name)","plugins":[\#(objects)]}"#.utf8))
  }
}

let c1 = AttachmentParameters(containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0")

/// A tracer that injects as the W3C has it, and remembers what has ended.
final class RecordingTracer: Tracer {
  struct Ended: Sendable {
    var name: String
    var id: String
    var parent: String?
    var attributes: [String: String]
    var failed: Bool
  }
  let ended = Mutex<[Ended]>([])
  private let last = Mutex<UInt64>(0)

  func startSpan<Instant: TracerInstant>(
    _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
    at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
  ) -> RecordedSpan {
    let parent = context()
    let number = last.withLock {
      $0 += 1
      return $0
    }
    var own = parent
    let digits = String(number, radix: 16)
    own.w3cSpan = String(repeating: "0", count: 16 - digits.count) + digits
    return RecordedSpan(operationName, own, parent.w3cSpan) { [self] span in
      ended.withLock { $0.append(span) }
    }
  }

  func forceFlush() {}

  func extract<Carrier, Extract: Extractor>(
    _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
  ) where Extract.Carrier == Carrier {}

  func inject<Carrier, Inject: Injector>(
    _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
  ) where Inject.Carrier == Carrier {
    guard let span = context.w3cSpan else { return }
    injector.inject(
      "00-\(String(repeating: "a", count: 32))-\(span)-01", forKey: "traceparent", into: &carrier)
    injector.inject("vendor=x", forKey: "tracestate", into: &carrier)
  }
}

final class RecordedSpan: Span {
  let context: ServiceContext
  private let state: Mutex<(name: String, attributes: SpanAttributes, failed: Bool)>
  private let parent: String?
  private let onEnd: @Sendable (RecordingTracer.Ended) -> Void

  init(
    _ name: String, _ context: ServiceContext, _ parent: String?,
    onEnd: @escaping @Sendable (RecordingTracer.Ended) -> Void
  ) {
    self.context = context
    self.parent = parent
    self.onEnd = onEnd
    state = Mutex((name, [:], false))
  }

  var operationName: String {
    get { state.withLock { $0.name } }
    set { state.withLock { $0.name = newValue } }
  }
  var attributes: SpanAttributes {
    get { state.withLock { $0.attributes } }
    set { state.withLock { $0.attributes = newValue } }
  }
  var isRecording: Bool { true }
  func setStatus(_ status: SpanStatus) { state.withLock { $0.failed = status.code == .error } }
  func addEvent(_ event: SpanEvent) {}
  func addLink(_ link: SpanLink) {}
  func recordError<Instant: TracerInstant>(
    _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
  ) {}
  func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
    let (name, attributes, failed) = state.withLock { $0 }
    var texts: [String: String] = [:]
    attributes.forEach { key, value in
      if case .string(let text) = value.toSpanAttribute() { texts[key] = text }
    }
    onEnd(.init(name: name, id: context.w3cSpan!, parent: parent, attributes: texts, failed: failed))
  }
}

private enum W3CSpanKey: ServiceContextKey { typealias Value = String }

extension ServiceContext {
  var w3cSpan: String? {
    get { self[W3CSpanKey.self] }
    set { self[W3CSpanKey.self] = newValue }
  }
}
