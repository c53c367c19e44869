#!/bin/bash
# fuzz.sh [SECONDS] [TARGET...]: libFuzzer with AddressSanitizer on each Fuzz/*.swift, SECONDS each.
#
# Starts from Fuzz/corpus/TARGET, which it does not change; new inputs go to .build/fuzz/corpus. An input that fails
# is kept in .build/fuzz/findings: repair what it found and add it to the corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
swift=${SWIFT:-swift} build=.build/fuzz sanitizers=fuzzer,address
compiler=$(dirname "$(command -v "$swift")")/swiftc
targets=("$@")
if [ "${#targets[@]}" = 0 ]; then
  for file in Fuzz/*.swift; do targets+=("$(basename "$file" .swift)"); done
fi

for module in CNI Netlink; do
  "$swift" build -c release --scratch-path "$build" --target "$module" -Xswiftc "-sanitize=$sanitizers"
done

found=0
for target in "${targets[@]}"; do
  printf '\n== %s, %s seconds\n' "$target" "$seconds"
  objects=()
  while read -r module; do
    case $module in
      CNI) modules="CNI NetworkAddresses" ;;
      Netlink) modules="Netlink NetworkAddresses CLinux SystemPackage CSystem" ;;
      *) echo "Fuzz/$target.swift imports $module, which this script cannot link" >&2; exit 1 ;;
    esac
    for name in $modules; do
      while read -r object; do objects+=("$object"); done < <(find "$build/release/$name.build/" -name '*.o' 2>/dev/null)
    done
  done < <(sed -n 's/^import //p' "Fuzz/$target.swift")
  "$compiler" -O -swift-version 6 -parse-as-library -module-name "fuzz_$target" "-sanitize=$sanitizers" \
    -use-ld=lld -I "$build/release/Modules" -I Sources/CLinux/include \
    -Xcc "-fmodule-map-file=$build/release/CLinux.build/module.modulemap" \
    -I "$build/checkouts/swift-system/Sources/CSystem/include" \
    "Fuzz/$target.swift" "${objects[@]}" -o "$build/$target"
  mkdir -p "$build/corpus/$target" "$build/findings"
  if "$build/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$target-" "$build/corpus/$target" "Fuzz/corpus/$target" 2>"$build/$target.log"; then
    grep -E 'stat::(number_of_executed_units|new_units_added)|Done' "$build/$target.log"
  else
    tail -n 40 "$build/$target.log"
    found=$((found + 1))
  fi
done

if [ "$found" = 0 ]; then
  printf '\nNothing found.\n'
else
  printf '\n%s targets failed; the inputs are in %s/findings.\n' "$found" "$build"
  exit 1
fi
