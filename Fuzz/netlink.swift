import Netlink

/// Whatever the bytes: they split into messages and attributes, within their bounds.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = [UInt8](UnsafeBufferPointer(start: start, count: count))
  walk(Attributes(bytes[...]), depth: 0)
  guard let messages = try? ReceivedMessage.parse(bytes) else { return 0 }
  var total = 0
  for message in messages {
    total += message.payload.count
    // The fixed headers of the families: genetlink and nfnetlink 4, addresses and rules up to 12, links 16.
    for size in [0, 4, 8, 12, 16] { walk(message.attributes(after: size), depth: 0) }
  }
  precondition(total <= bytes.count, "more came out than went in")
  return 0
}

func walk(_ attributes: Attributes, depth: Int) {
  for attribute in attributes {
    _ = attribute.integer(as: UInt8.self)
    _ = attribute.integer(as: UInt32.self)
    _ = attribute.bigEndian(as: UInt64.self)
    _ = attribute.string
    precondition(attributes[attribute.type] != nil, "an attribute that is there is not found")
    if depth < 6 { walk(attribute.nested, depth: depth + 1) }
  }
}
