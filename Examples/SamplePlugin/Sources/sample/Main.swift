import CNIPluginKit
import Glibc
import SamplePlugin

@main enum Main {
  static func main() { exit(PluginMain.run(Sample.self, version: "1.0")) }
}
