import CNI
import DHCP
import NetworkAddresses

/// What an attachment wants of DHCP: it is sent to the daemon, and kept with the lease.
struct LeaseWishes: Sendable, Hashable {
  /// For which families there has to be an address.
  var families: [AddressFamily] = [.ipv4]
  /// The DHCPv4 options that the server is asked for, in order.
  var requested: [DHCPv4OptionCode] = []
  /// The DHCPv4 options that the server is told.
  var provided = DHCPv4Options()
  /// Whether routes get the MTU that the server names.
  var setsMTU = false

  /// What is asked for unless the configuration says otherwise: what the Go plugin asks for, and names. Routes beyond the
  /// default one are among what a configuration has to ask for, as there.
  static let defaultRequest: [DHCPv4OptionCode] = [
    .routers, .subnetMask, .domainNameServers, .domainName, .domainSearch,
  ]
}

extension LeaseWishes {
  /// As JSON.
  func encode() -> JSONValue {
    let options = provided.all.map { option -> JSONValue in
      ["option": .integer(option.code.rawValue), "bytes": .string(Hexadecimal.encode(option.value))]
    }
    return [
      "families": .array(families.map { .string($0 == .ipv4 ? "ipv4" : "ipv6") }),
      "request": .array(requested.map { .integer($0.rawValue) }), "provide": .array(options),
      "setsMTU": .bool(setsMTU),
    ]
  }

  /// Reads what ``encode()`` gives.
  init(_ object: ConfigurationObject) throws(CNIError) {
    families = []
    for value in try object.list("families") {
      families.append(try value.string() == "ipv6" ? .ipv6 : .ipv4)
    }
    for value in try object.list("request") {
      requested.append(DHCPv4OptionCode(rawValue: UInt8(try value.integer(in: 1...254))))
    }
    provided = try DHCPv4Options(reading: object.objects("provide"))
    setsMTU = try object.flag("setsMTU")
  }
}

extension DHCPv4Options {
  /// Options as they are kept.
  init(reading objects: [ConfigurationObject]) throws(CNIError) {
    self.init()
    for object in objects {
      guard let number = try object.integer("option", in: 1...254) else { throw object.missing("option") }
      guard let bytes = Hexadecimal.decode(try object.text("bytes") ?? "") else {
        throw object.failure("bytes", "is not hexadecimal")
      }
      self[DHCPv4OptionCode(rawValue: UInt8(number))] = bytes
    }
  }
}

/// Bytes as text, two digits each.
enum Hexadecimal {
  static func encode(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 0xf)]] }
    return String(decoding: text, as: UTF8.self)
  }

  /// `nil` if a character is no digit or one is missing.
  static func decode(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var high: UInt8?
    for character in text.utf8 {
      let digit: UInt8
      switch character {
      case 0x30...0x39: digit = character - 0x30
      case 0x61...0x66: digit = character - 0x57
      case 0x41...0x46: digit = character - 0x37
      default: return nil
      }
      if let first = high {
        bytes.append(first << 4 | digit)
        high = nil
      } else {
        high = digit
      }
    }
    return high == nil ? bytes : nil
  }
}
