import CNI
public import NetworkAddresses
import Netlink

/// The programs of iptables for one family, for those who ask for its form, and for hosts whose rules have it.
public struct IPTables: Sendable {
  private let family: AddressFamily

  /// `iptables` or `ip6tables`.
  public init(_ family: AddressFamily) { self.family = family }

  /// Carries out `batch` in one call of `iptables-restore`, and leaves everything else as it is. Each of its tables
  /// changes as a whole or not at all.
  ///
  /// - Parameters:
  ///   - batch: What is to change.
  ///   - form: Which of the host's two tables of a name is meant; nil: the one that `iptables` is about.
  /// - Throws: `CNIError` with what the program wrote, if it failed or is not installed.
  public func restore(_ batch: IPTablesBatch, form: IPTablesTable.Form? = nil) throws(CNIError) {
    if batch.isEmpty { return }
    try restoreProgram(form).run(["--wait", "--noflush"], input: batch.text)
  }

  /// The program for one form, or, where `iptables` has no variants, the only one there is.
  public func restoreProgram(_ form: IPTablesTable.Form? = nil) -> HostProgram {
    program("restore", form)
  }

  /// Whether a program is there that changes the tables of that form, as far as its name tells. A host may have rules
  /// of iptables and no such program: kube-proxy brings its own.
  public func canWrite(_ form: IPTablesTable.Form) -> Bool {
    restoreProgram(form).isInstalled && (writes(form) ?? form) == form
  }

  /// Which of the two tables `iptables` without a suffix is about.
  public var formOfPlainProgram: IPTablesTable.Form { writes(nil) ?? .nft }

  private func program(_ purpose: String, _ form: IPTablesTable.Form?) -> HostProgram {
    let base = family == .ipv4 ? "iptables" : "ip6tables"
    if let form {
      let variant = HostProgram("\(base)-\(form.rawValue)-\(purpose)")
      if variant.isInstalled { return variant }
    }
    return HostProgram("\(base)-\(purpose)")
  }

  /// Whether the legacy table of the thread's network namespace has a chain of that name. A kernel without the table, or
  /// without permission, has none.
  func legacyTable(_ table: IPTablesTable.Name, contains chain: String) -> Bool {
    LegacyTable(IPTablesTable(table, family))?[chain] != nil
  }

  /// A legacy table, as `iptables-legacy-save` prints it.
  func saveLegacy(_ table: IPTablesTable.Name) throws(CNIError) -> String {
    try program("save", .legacy).run(["-t", table.rawValue])
  }

  /// What the program that `restore` runs for a form writes to, by the file that it leads to; nil if its name does not
  /// tell, as where a script decides.
  func writes(_ form: IPTablesTable.Form?) -> IPTablesTable.Form? {
    guard let file = restoreProgram(form).file else { return nil }
    let name = file.split(separator: "/").last ?? ""
    if name.contains("nft") { return .nft }
    return name.contains("legacy") || name == "xtables-multi" ? .legacy : nil
  }

  /// Removes a chain of a legacy table with every rule that jumps to it.
  func removeLegacyChain(_ chain: String, table: IPTablesTable.Name) throws(CNIError) {
    let saved = try saveLegacy(table)
    var batch = IPTablesBatch()
    for line in saved.split(separator: "\n") where line.hasPrefix("-A ") && !line.hasPrefix("-A \(chain) ") {
      guard SavedTable.target(of: line) == chain else { continue }
      batch.add("-D" + line.dropFirst(2), to: table)
    }
    batch.flush(chain, in: table)
    batch.remove(chain, from: table)
    try restore(batch, form: .legacy)
  }
}

/// Changes of one family's tables, for one call of `iptables-restore --noflush`.
///
/// ```swift
/// var batch = IPTablesBatch()
/// batch.create("CNI-FORWARD", in: .filter)
/// batch.insert("-j CNI-FORWARD -m comment --comment \(IPTablesBatch.quoted("…"))", into: "FORWARD", of: .filter)
/// try IPTables(.ipv4).restore(batch)
/// ```
/// Rules are texts as after `iptables -A CHAIN`.
public struct IPTablesBatch: Hashable, Sendable {
  private var tables: [IPTablesTable.Name] = []
  private var lines: [[String]] = []

  /// No changes.
  public init() {}

  /// Whether there is nothing to be done.
  public var isEmpty: Bool { tables.isEmpty }

  /// Makes a chain, which must not be there: else the call fails, and nothing of the table changes. Whoever finds that
  /// another process was faster looks again.
  public mutating func create(_ chain: String, in table: IPTablesTable.Name) {
    add("-N \(chain)", to: table)
  }
  /// Makes a chain, or empties the one there is.
  public mutating func createOrEmpty(_ chain: String, in table: IPTablesTable.Name) {
    add(":\(chain) - [0:0]", to: table)
  }
  /// Adds a rule at the end of a chain.
  public mutating func append(_ rule: String, to chain: String, of table: IPTablesTable.Name) {
    add("-A \(chain) \(rule)", to: table)
  }
  /// Adds a rule at the beginning of a chain.
  public mutating func insert(_ rule: String, into chain: String, of table: IPTablesTable.Name) {
    add("-I \(chain) \(rule)", to: table)
  }
  /// Deletes a rule, which must be there.
  public mutating func delete(_ rule: String, from chain: String, of table: IPTablesTable.Name) {
    add("-D \(chain) \(rule)", to: table)
  }
  /// Deletes the rules of a chain.
  public mutating func flush(_ chain: String, in table: IPTablesTable.Name) {
    add("-F \(chain)", to: table)
  }
  /// Deletes a chain, which must be empty.
  public mutating func remove(_ chain: String, from table: IPTablesTable.Name) {
    add("-X \(chain)", to: table)
  }

  /// Adds a line as `iptables-restore` takes it.
  public mutating func add(_ line: String, to table: IPTablesTable.Name) {
    if let index = tables.firstIndex(of: table) {
      lines[index].append(line)
    } else {
      tables.append(table)
      lines.append([line])
    }
  }

  /// A word that may contain spaces, quotation marks and backslashes.
  public static func quoted(_ text: String) -> String {
    var result = "\""
    for character in text {
      if character == "\"" || character == "\\" { result.append("\\") }
      result.append(character)
    }
    return result + "\""
  }

  /// What the program reads.
  public var text: String {
    var text = ""
    for (table, lines) in zip(tables, lines) {
      text += "*\(table.rawValue)\n"
      for line in lines { text += line + "\n" }
      text += "COMMIT\n"
    }
    return text
  }
}
