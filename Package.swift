// swift-tools-version: 6.2
import PackageDescription

// Modules stand on floors; a module imports only modules on lower floors:
//   5  cni
//   4  ReferencePlugins, ContainerNetworking, PodNetworking
//   3½ AsyncRuntime, LoopbackPlugin
//   3  CNIRuntime, CNIPluginKit
//   2  CNIExecution, LinuxNetworking
//   1  CNI, Netlink, DHCP
//   0  NetworkAddresses, CLinux
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "swift-cni",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "NetworkAddresses", targets: ["NetworkAddresses"]),
    .library(name: "Netlink", targets: ["Netlink"]),
    .library(name: "LinuxNetworking", targets: ["LinuxNetworking"]),
    .library(name: "DHCP", targets: ["DHCP"]),
    .library(name: "CNI", targets: ["CNI"]),
    .library(name: "CNIExecution", targets: ["CNIExecution"]),
    .library(name: "CNIPluginKit", targets: ["CNIPluginKit"]),
    .library(name: "CNIRuntime", targets: ["CNIRuntime"]),
    .library(name: "ContainerNetworking", targets: ["ContainerNetworking"]),
    .library(name: "PodNetworking", targets: ["PodNetworking"]),
    .library(name: "ReferencePlugins", targets: ["ReferencePlugins"]),
    .executable(name: "cni", targets: ["cni"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.2.0"),
  ],
  targets: [
    .target(name: "CLinux"),
    .target(name: "NetworkAddresses", swiftSettings: strict),
    .target(name: "Netlink", dependencies: ["NetworkAddresses", "CLinux", system], swiftSettings: strict),
    .target(name: "CNI", dependencies: ["NetworkAddresses"], swiftSettings: strict),
    .target(name: "DHCP", dependencies: ["NetworkAddresses"], swiftSettings: strict),
    .target(
      name: "LinuxNetworking", dependencies: ["Netlink", "NetworkAddresses", "CLinux", system],
      swiftSettings: strict),
    .target(name: "CNIExecution", dependencies: ["CNI", "CLinux", system], swiftSettings: strict),
    .target(
      name: "CNIPluginKit",
      dependencies: [
        "CNI", "CNIExecution", "LinuxNetworking", "Netlink", "NetworkAddresses", "CLinux", system,
      ], swiftSettings: strict),
    .target(
      name: "CNIRuntime",
      dependencies: ["CNI", "CNIExecution", "LinuxNetworking", "Netlink", "CLinux", system],
      swiftSettings: strict),
    // Shared by the libraries for container managers, and nobody's product.
    .target(
      name: "AsyncRuntime",
      dependencies: [
        "CNI", "CNIExecution", "CNIRuntime", "CLinux",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
      ], swiftSettings: strict),
    // A reference plugin that ContainerNetworking brings along.
    .target(
      name: "LoopbackPlugin",
      dependencies: ["CNIPluginKit", "CNI", "LinuxNetworking", "Netlink", "NetworkAddresses"],
      swiftSettings: strict),
    .target(
      name: "ReferencePlugins",
      dependencies: [
        "LoopbackPlugin", "CNIPluginKit", "CNIExecution", "CNI", "DHCP", "LinuxNetworking", "Netlink",
        "NetworkAddresses",
        "CLinux", system,
      ], swiftSettings: strict),
    .target(
      name: "ContainerNetworking",
      dependencies: [
        "AsyncRuntime", "LoopbackPlugin", "CNIRuntime", "CNIPluginKit", "CNIExecution", "CNI",
        "LinuxNetworking", "NetworkAddresses",
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: strict),
    .target(
      name: "PodNetworking",
      dependencies: [
        "AsyncRuntime", "CNIRuntime", "CNIExecution", "CNI", "LinuxNetworking", "Netlink", "NetworkAddresses",
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: strict),
    .executableTarget(
      name: "cni",
      dependencies: [
        "PodNetworking", "ReferencePlugins", "CNIRuntime", "CNIPluginKit", "CNIExecution", "CNI",
        "LinuxNetworking", "Netlink", "NetworkAddresses", "CLinux", system,
      ], swiftSettings: strict),
    .testTarget(name: "NetworkAddressesTests", dependencies: ["NetworkAddresses"]),
    .testTarget(
      name: "NetlinkTests",
      dependencies: ["LinuxNetworking", "Netlink", "NetworkAddresses", "TestSupport"],
      exclude: ["Golden"]),
    .testTarget(
      name: "LinuxNetworkingTests",
      dependencies: ["LinuxNetworking", "Netlink", "NetworkAddresses", "TestSupport"]),
    .testTarget(name: "CNITests", dependencies: ["CNI", "NetworkAddresses"]),
    .testTarget(name: "DHCPTests", dependencies: ["DHCP", "NetworkAddresses"]),
    .testTarget(name: "CNIExecutionTests", dependencies: ["CNIExecution", "CNI", "TestSupport"]),
    .testTarget(
      name: "CNIPluginKitTests",
      dependencies: [
        "CNIPluginKit", "CNIExecution", "CNI", "LinuxNetworking", "Netlink", "NetworkAddresses",
        "TestSupport",
      ]),
    .testTarget(
      name: "CNIRuntimeTests", dependencies: ["CNIRuntime", "CNIExecution", "CNI", "TestSupport"]),
    .testTarget(
      name: "AsyncRuntimeTests",
      dependencies: [
        "AsyncRuntime", "CNIRuntime", "CNIExecution", "CNI", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
      ]),
    .testTarget(
      name: "ContainerNetworkingTests",
      dependencies: [
        "ContainerNetworking", "AsyncRuntime", "ContainerManager", "ReferencePlugins", "CNIRuntime",
        "CNIExecution", "CNI", "NetworkAddresses", "CLinux", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .testTarget(
      name: "ReferencePluginsTests",
      dependencies: [
        "ReferencePlugins", "CNIRuntime", "CNIPluginKit", "CNIExecution", "CNI", "LinuxNetworking",
        "NetworkAddresses", "TestSupport",
      ]),
    // A container manager for tests to kill.
    .executableTarget(
      name: "ContainerManager", dependencies: ["ContainerNetworking", "ReferencePlugins"],
      path: "Tests/ContainerManager"),
    .testTarget(
      name: "PodNetworkingTests",
      dependencies: [
        "PodNetworking", "ReferencePlugins", "CNIRuntime", "CNIExecution", "CNI", "LinuxNetworking",
        "Netlink",
        "NetworkAddresses", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
      ]),
    .target(name: "TestSupport", dependencies: ["CLinux"], path: "Tests/TestSupport"),
  ],
  swiftLanguageModes: [.v6]
)

// Only `make docs` needs it: those who depend on this package need not load it.
if Context.environment["SWIFT_CNI_DOCS"] != nil {
  package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"))
}
