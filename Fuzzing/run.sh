#!/bin/sh
# Runs one fuzz target: Fuzzing/run.sh TARGET SECONDS, where TARGET is configuration, result, netlink or dhcp.
# Inputs that break an invariant are left in .build/fuzzing/TARGET/findings, and the exit status is not 0.
set -eu

target=${1:?usage: $0 TARGET SECONDS}
seconds=${2:-60}
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/.build/fuzzing/$target
case $target in
configuration) modules="NetworkAddresses CNI" main=FuzzConfiguration.swift ;;
result) modules="NetworkAddresses CNI" main=FuzzResult.swift ;;
netlink) modules="NetworkAddresses Netlink" main=FuzzNetlink.swift ;;
dhcp) modules="NetworkAddresses DHCP" main=FuzzDHCP.swift ;;
*) echo "$0: no target '$target'; there are configuration, result, netlink and dhcp" >&2 && exit 64 ;;
esac

mkdir -p "$build/corpus" "$build/findings"
flags="-swift-version 6 -parse-as-library -wmo -O -g -sanitize=fuzzer,address -I $build"
objects=
if [ "$target" = netlink ]; then
  # What the module stands on is taken as the package builds it, without instrumentation.
  (cd "$root" && swift build --target Netlink)
  bin=$(cd "$root" && swift build --show-bin-path)
  flags="$flags -I $bin/Modules -Xcc -fmodule-map-file=$bin/CLinux.build/module.modulemap"
  for map in "$root"/.build/checkouts/swift-system/Sources/CSystem/include; do flags="$flags -I $map"; done
  objects=$(find "$bin/SystemPackage.build" "$bin/CSystem.build" "$bin/CLinux.build" -name '*.o')
fi
for module in $modules; do
  # shellcheck disable=SC2086,SC2046
  swiftc $flags -module-name "$module" -emit-module -emit-module-path "$build/$module.swiftmodule" \
    -c -o "$build/$module.o" $(find "$root/Sources/$module" -name '*.swift')
  objects="$objects $build/$module.o"
done
# shellcheck disable=SC2086
swiftc $flags -module-name Fuzz -o "$build/fuzz" "$root/Fuzzing/$main" $objects

# libFuzzer prints the stack itself; the Swift runtime takes minutes for it here.
export SWIFT_BACKTRACE=enable=no
rm -rf "$build/corpus" && cp -r "$root/Fuzzing/Corpus/$target" "$build/corpus"
exec "$build/fuzz" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
  -print_final_stats=1 -artifact_prefix="$build/findings/" "$build/corpus"
