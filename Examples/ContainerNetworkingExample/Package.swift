// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "container-networking-example",
  platforms: [.macOS(.v15)],
  dependencies: [
    // Elsewhere: .package(url: "https://…/swift-cni", from: "0.1.0")
    .package(name: "swift-cni", path: "../..")
  ],
  targets: [
    .executableTarget(
      name: "container-network",
      dependencies: [
        .product(name: "ContainerNetworking", package: "swift-cni"),
        .product(name: "ReferencePlugins", package: "swift-cni"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
