extension TrafficKind {
  /// A qdisc that holds nothing back: a place for filters of what a link receives. At `.ingress`.
  public static let ingress = TrafficKind("ingress")
  /// The same for what a link receives and for what it sends. At `.ingress`.
  public static let clsact = TrafficKind("clsact")
}

extension Qdisc {
  /// What makes a place for filters of what `link` receives.
  public static func ingress(link: Int32) -> Qdisc {
    Qdisc(link: link, parent: .ingress, handle: .ingressQdisc, kind: .ingress)
  }
}
