/// Message types of the route family (`RTM_*` of `linux/rtnetlink.h`).
enum RouteMessageType {
  static let newLink: UInt16 = 16
  static let deleteLink: UInt16 = 17
  static let getLink: UInt16 = 18
  static let setLink: UInt16 = 19
  static let newAddress: UInt16 = 20
  static let deleteAddress: UInt16 = 21
  static let getAddress: UInt16 = 22
  static let newRoute: UInt16 = 24
  static let deleteRoute: UInt16 = 25
  static let getRoute: UInt16 = 26
  static let newNeighbour: UInt16 = 28
  static let deleteNeighbour: UInt16 = 29
  static let getNeighbour: UInt16 = 30
  static let newRule: UInt16 = 32
  static let deleteRule: UInt16 = 33
  static let getRule: UInt16 = 34
  static let newQdisc: UInt16 = 36
  static let deleteQdisc: UInt16 = 37
  static let getQdisc: UInt16 = 38
  static let newClass: UInt16 = 40
  static let deleteClass: UInt16 = 41
  static let getClass: UInt16 = 42
  static let newFilter: UInt16 = 44
  static let deleteFilter: UInt16 = 45
  static let getFilter: UInt16 = 46
  static let newAction: UInt16 = 48
  static let newMulticast: UInt16 = 56
  static let getMulticast: UInt16 = 58
  static let newNamespaceID: UInt16 = 88
  static let getNamespaceID: UInt16 = 90
  static let newLinkProperty: UInt16 = 108
  static let deleteLinkProperty: UInt16 = 109
}
