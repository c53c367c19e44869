extension LinkKind {
  /// An intermediate functional block: what is redirected to it goes through its qdisc, and then on the way it was on. So
  /// what a link receives can be shaped, too. It has no settings.
  public static let ifb = LinkKind("ifb")
}
