import Glibc

extension RouteSocket {
  /// The link, or nil if there is none.
  public mutating func find(_ link: LinkSelector) throws(NetlinkError) -> Link? {
    do {
      return try self.link(link)
    } catch  where error.isNotFound {
      return nil
    }
  }

  /// Makes the link unless the name is taken, and says whether it was made.
  public mutating func createIfAbsent(_ link: LinkSpecification) throws(NetlinkError) -> Bool {
    do {
      try perform(.createLink(link))
      return true
    } catch  where error.isExists {
      return false
    }
  }

  /// Gives the interface an address unless it has it, and says whether it was given.
  public mutating func addIfAbsent(_ address: InterfaceAddress, index: Int32) throws(NetlinkError) -> Bool {
    do {
      try perform(.addAddress(address, index: index))
      return true
    } catch  where error.isExists {
      return false
    }
  }

  /// Takes an address from the interface if it has it.
  public mutating func deleteIfPresent(_ address: InterfaceAddress, index: Int32) throws(NetlinkError) {
    do {
      try perform(.deleteAddress(address, index: index))
    } catch  where error.isNotFound || error.errno.rawValue == EADDRNOTAVAIL {}
  }

  /// Deletes the link if it is there, and says whether it was.
  @discardableResult
  public mutating func deleteIfPresent(_ link: LinkSelector) throws(NetlinkError) -> Bool {
    do {
      try perform(.deleteLink(link))
      return true
    } catch  where error.isNotFound {
      return false
    }
  }
}
