/// What a plugin is asked to do: `CNI_COMMAND` (specification, section 2).
public enum Command: String, Sendable, Hashable, CaseIterable {
  /// Put the container on the network.
  case add = "ADD"
  /// Take the container off the network.
  case del = "DEL"
  /// Say whether what ADD made is still there.
  case check = "CHECK"
  /// Remove whatever belongs to no attachment of a given list. Since 1.1.0.
  case gc = "GC"
  /// Say whether an ADD would succeed now. Since 1.1.0.
  case status = "STATUS"
  /// Say which versions of the specification the plugin speaks.
  case version = "VERSION"
}
