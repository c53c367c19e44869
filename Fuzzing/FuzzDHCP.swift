// What comes from a network where anybody may answer: no input may crash the readers of messages, nor the clients that
// hear them. What is read can be written, and is itself when read again.
import DHCP
import NetworkAddresses

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzDHCP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  if let packet = UDPPacket(decoding: bytes[...], checksumIsComplete: false) {
    precondition(packet.payload.count <= bytes.count)
    if let message = DHCPv4Message(decoding: packet.payload) { hear(message) }
    if let again = UDPPacket(decoding: packet.encode()[...]) {
      precondition(again == packet, "a packet changed on its way")
    } else {
      fatalError("a packet that was written is none")
    }
  }
  if let packet = ARPPacket(decoding: bytes[...]) {
    _ = packet.contests(packet.sender, of: MACAddress(rawValue: 1))
  }
  if let message = DHCPv4Message(decoding: bytes) {
    precondition(DHCPv4Message(decoding: message.encode()) == message, "a message changed on its way")
    hear(message)
  }
  if let message = DHCPv6Message(decoding: bytes) {
    precondition(DHCPv6Message(decoding: message.encode()) == message, "a message changed on its way")
    hear(message)
  }
  return 0
}

/// Names and texts end up in files with lines and words, and in logs.
private func check(_ text: String, isName: Bool = true) {
  let limit: UInt8 = isName ? 0x21 : 0x20
  precondition(text.utf8.allSatisfy { $0 >= limit && $0 != 0x7f }, "a text with control characters in it")
}

private func hear(_ message: DHCPv4Message) {
  let options = message.options
  for name in options.searchDomains + [options.domain].compactMap({ $0 }) { check(name) }
  if let text = options.text(.message) { check(text, isName: false) }
  precondition(options.nameservers.count <= 8)
  for route in options.routes { precondition(route.destination.isNetwork) }
  _ = (options.gateway, options.prefixLength)

  // Whatever is heard is an answer to what was asked last; with and without probing for the address.
  for probing in [Duration.zero, .milliseconds(100)] {
    var settings = DHCPv4Client.Settings(hardwareAddress: MACAddress(rawValue: 2), clientIdentifier: [1])
    settings.probing = probing
    var client = DHCPv4Client(settings, seed: 1)
    var now = Duration.zero
    var asked: DHCPv4Message?
    func note(_ actions: [DHCPv4Client.Action]) {
      for case .send(let message, _) in actions {
        precondition(DHCPv4Message(decoding: message.encode()) == message, "what is sent cannot be read")
        asked = message
      }
    }
    note(client.start(at: now))
    for kind in [message.kind, .offer, .acknowledgement, .refusal] {
      guard let asked else { break }
      var answer = message
      answer.isReply = true
      answer.kind = kind
      answer.hardwareAddress = asked.hardwareAddress
      answer.transactionID = asked.transactionID
      note(client.receive(answer, at: now))
      now += .milliseconds(200)
      note(client.advance(to: now))
      if let lease = client.lease { precondition((lease.prefix?.length ?? 32) <= 32) }
      if let next = client.nextDeadline { note(client.advance(to: next)) }
    }
    check(client.transcript.description.filter { $0 != " " })
    note(client.release(at: now))
  }
}

private func hear(_ message: DHCPv6Message) {
  for name in message.domainSearch { check(name) }
  check(message.status.description, isName: false)

  for probing in [Duration.zero, .milliseconds(100)] {
    var settings = DHCPv6Client.Settings()
    settings.probing = probing
    settings.selectionTime = .zero
    var client = DHCPv6Client(clientID: DUID(linkLayer: MACAddress(rawValue: 2)), settings: settings, seed: 1)
    var now = Duration.zero
    var asked: DHCPv6Message?
    func note(_ actions: [DHCPv6Client.Action]) {
      for case .send(let message) in actions {
        precondition(DHCPv6Message(decoding: message.encode()) == message, "what is sent cannot be read")
        asked = message
      }
    }
    note(client.start(at: now))
    for kind in [message.kind, .advertise, .reply, .reconfigure] {
      guard let asked else { break }
      var answer = message
      answer.kind = kind
      answer.transactionID = asked.transactionID
      // It is for this client; the rest is as it came.
      if let own = asked.clientID { answer.options.insert(.clientID(own), at: 0) }
      note(client.receive(answer, at: now))
      now += .milliseconds(200)
      note(client.advance(to: now))
      if let next = client.nextDeadline { note(client.advance(to: next)) }
    }
    check(client.transcript.description.filter { $0 != " " })
    note(client.release(at: now))
  }
}
