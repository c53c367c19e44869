import CNIExecution
import Tracing

/// Puts a tracing context into the environment of plugins: what a tracer would send as the header `traceparent` becomes
/// `TRACEPARENT`, `tracestate` becomes `TRACESTATE` (W3C Trace Context, in the way that OpenTelemetry names variables).
struct TraceEnvironment: Injector {
  typealias Carrier = [(name: String, value: String)]

  func inject(_ value: String, forKey key: String, into carrier: inout Carrier) {
    let name = TraceEnvironment.variable(for: key)
    // Of two with the same name the first would count.
    carrier.removeAll { $0.name == name }
    carrier.append((name, value))
  }

  /// Upper case, and an underscore for what is neither a letter nor a digit.
  static func variable(for key: String) -> String {
    var name = ""
    for byte in key.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"): name.unicodeScalars.append(Unicode.Scalar(byte - 32))
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        name.unicodeScalars.append(Unicode.Scalar(byte))
      default: name += "_"
      }
    }
    return name
  }
}

extension EmbeddedPlugins {
  /// The same plugins; each continues the trace of whoever calls it, on whatever thread it runs.
  func continuingTraces() -> EmbeddedPlugins {
    map { plugin in
      EmbeddedPlugin(type: plugin.type, needsOwnThread: plugin.needsOwnThread) { request, environment in
        guard let context = request.observerContext as? ServiceContext else {
          return plugin.run(request, environment)
        }
        return ServiceContext.withValue(context) { plugin.run(request, environment) }
      }
    }
  }
}
