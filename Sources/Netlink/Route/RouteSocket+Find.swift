import Glibc
import NetworkAddresses

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

  /// Performs a request that may find everything as it should be: to add what is there, or to delete what is not.
  public mutating func settle(_ request: RouteRequest) throws(NetlinkError) {
    do { try perform(request) } catch  where error.isNotFound || error.isExists {}
  }

  /// Whether the kernel has links of that kind, or can load what makes them. Nothing is created: a link of the name `.`
  /// there cannot be, but first comes the question what would make it.
  public mutating func supports(_ kind: LinkKind) throws(NetlinkError) -> Bool {
    do {
      try perform(.createLink(LinkSpecification(name: ".", kind: kind)))
    } catch {
      switch error.errno.rawValue {
      case EOPNOTSUPP: return false
      case EINVAL: break
      default: throw error
      }
    }
    return true
  }

  /// The way that a packet of the host's own takes to the address; nil if there is none. An address of the host's own has a
  /// route of the type `local`.
  public mutating func route(to address: IPAddress) throws(NetlinkError) -> Route? {
    do {
      guard case .route(let route) = try perform(.getRoute(to: address)) else { return nil }
      return route
    } catch {
      switch error.errno.rawValue {
      // What routes of the types unreachable, prohibit and blackhole, and no route at all, are answered with.
      case ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL: return nil
      default: throw error
      }
    }
  }

  /// The interface of the default route: of the main table, of IPv4 if it has one, else of IPv6; of several, of the one
  /// that is taken first. nil if there is none.
  public mutating func defaultRouteInterface() throws(NetlinkError) -> Int32? {
    for family in [AddressFamily.ipv4, .ipv6] {
      let route = try routes(family: family, table: Route.mainTable)
        .filter { $0.destination.isDefault && $0.type ?? .unicast == .unicast }
        .min { $0.priority ?? 0 < $1.priority ?? 0 }
      if let interface = route?.interface ?? route?.nextHops.first?.interface { return interface }
    }
    return nil
  }
}

extension Result where Success == RouteReply, Failure == NetlinkError {
  /// The answer to a question of many (``RouteSocket/results(of:)``); nil if what was asked for is not there, or if the
  /// kernel has nothing of the kind.
  ///
  /// - Throws: `NetlinkError` if the kernel has not answered the question: then nobody knows.
  public func ifPresent() throws(NetlinkError) -> RouteReply? {
    switch self {
    case .success(let reply): return reply
    case .failure(let error):
      guard error.isNotFound || error.isUnsupported else { throw error }
      return nil
    }
  }
}
