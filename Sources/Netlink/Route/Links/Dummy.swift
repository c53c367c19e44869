extension LinkKind {
  /// An Ethernet interface connected to nothing: what it sends is dropped. It has no settings.
  public static let dummy = LinkKind("dummy")
}
