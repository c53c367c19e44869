// swift-tools-version: 6.2
import PackageDescription

let kit: [Target.Dependency] = ["CNI", "CNIPluginKit", "LinuxNetworking"].map {
  .product(name: $0, package: "swift-cni")
}

let package = Package(
  name: "sample-plugin",
  platforms: [.macOS(.v15)],
  dependencies: [
    // Elsewhere: .package(url: "https://…/swift-cni", from: "0.1.0")
    .package(name: "swift-cni", path: "../..")
  ],
  targets: [
    // The plugin is a library, for tests and for programs that embed it; what is executed is only a few lines.
    .target(name: "SamplePlugin", dependencies: kit),
    .executableTarget(
      name: "sample", dependencies: ["SamplePlugin"] + kit,
      // One file that needs no others: it can be copied to any node, and nothing has to be loaded when it starts.
      linkerSettings: [.unsafeFlags(["-static-executable"], .when(platforms: [.linux]))]),
    .testTarget(
      name: "SamplePluginTests",
      dependencies: ["SamplePlugin", .product(name: "CNIExecution", package: "swift-cni")] + kit),
  ],
  swiftLanguageModes: [.v6]
)
