/// The way from the root of a configuration to a value, for error messages: `plugins[0].ipam.ranges[0][0].subnet`.
/// Each container that is entered adds one link; the text is made only when something is wrong.
final class ConfigurationPath: Sendable {
  enum Component: Sendable, Equatable {
    case key(String)
    case index(Int)
  }

  /// What holds for a whole tree.
  struct Origin: Sendable {
    /// What the values were read from: a file's path, or words for it.
    var name: String?
    /// The code of errors about values.
    var code: CNIError.Code
  }

  let parent: ConfigurationPath?
  let component: Component?
  let origin: Origin

  init(origin: Origin) {
    parent = nil
    component = nil
    self.origin = origin
  }

  init(_ parent: ConfigurationPath, _ component: Component) {
    self.parent = parent
    self.component = component
    origin = parent.origin
  }

  /// The text of the way to a component below this container.
  func description(of last: Component?) -> String {
    var components: [Component] = []
    var path: ConfigurationPath? = self
    while let link = path {
      if let component = link.component { components.append(component) }
      path = link.parent
    }
    components.reverse()
    if let last { components.append(last) }
    var text = ""
    for component in components {
      switch component {
      case .index(let index): text += "[\(index)]"
      case .key(let key):
        let isPlain =
          !key.isEmpty
          && key.utf8.allSatisfy {
            $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "[")
          }
        if isPlain {
          text += text.isEmpty ? key : "." + key
        } else {
          text += "[\(quoted(key))]"
        }
      }
    }
    return text
  }

  /// Where to look for a value, in brackets: the file's name and the position, as far as they are known.
  func place(_ position: SourcePosition?) -> String {
    switch (origin.name, position) {
    case (let name?, let position?): " (\(name) \(position))"
    case (let name?, nil): " (\(name))"
    case (nil, let position?): " (\(position))"
    case (nil, nil): ""
    }
  }

  /// An error about the value at a component below this container.
  func error(
    at last: Component?, _ position: SourcePosition?, code: CNIError.Code?, _ reason: String, _ remedy: String
  ) -> CNIError {
    let path = description(of: last)
    let message = (path.isEmpty ? reason : path + ": " + reason) + place(position)
    return CNIError(code ?? origin.code, message, details: remedy)
  }
}
