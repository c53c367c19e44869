#!/bin/bash
# test.sh: every test there is. At the end come a table of the suites, what failed, and as the last line the sum over all,
# "N passed, N failed"; the exit status is 0 only if something passed and nothing failed.
#
# Suites: `swift test`; of its tests the asynchronous ones, and those that measure, each alone; what of it needs another kernel
# than this machine's, in a virtual machine; each script in Tests/Shell; Tests/runtimes, what of it needs another kernel again in
# a virtual machine; a selection of Tests/crash and of Tests/differential. All but the first three print "N passed, N failed" last.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
: "${SWIFT:=swift}" "${JOBS:=$(nproc)}" "${PRODUCT:=.build/install/cni}" "${PEER_BIN_DIR:=/usr/lib/cni}"
export PRODUCT PEER_BIN_DIR

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
passed=0 failed=0

# Swift tests that want the machine to themselves, because they measure, and those that want the threads of Swift's
# concurrency, which the others block. Regular expressions as for `swift test --filter`.
measuring='^ReferencePluginsTests[.]BandwidthTrafficTests/'
asynchronous='^(AsyncRuntimeTests|ContainerNetworkingTests|PodNetworkingTests)[./]'

row() { printf '%-28s %-20s %7s %7s %7s\n' "$@"; }

begun=$SECONDS
time_since() { printf '%d:%02d' $(((SECONDS - $1) / 60)) $(((SECONDS - $1) % 60)); }

count() { # NAME PASSED FAILED, of the suite whose output is in $results/output, and which began at $started
  local kernel
  passed=$((passed + $2)) failed=$((failed + $3))
  printf '%s: %s passed, %s failed\n' "$1" "$2" "$3"
  case $1 in
    *'virtual machine') kernel=$(cat .build/vm/release 2>/dev/null || echo none) ;;
    *) kernel=$(uname -r) ;;
  esac
  row "$1" "$kernel" "$2" "$3" "$(time_since "$started")" >>"$results/table"
  if [ "$3" != 0 ]; then
    grep -E 'recorded an issue|: error: |(^| )(FAILED|ERROR)( |:|$)' "$results/output" | head -n 12 | cut -c1-500 |
      sed "s/^/$1: /" >>"$results/failures"
  fi
}

suite() { # NAME COMMAND...: a suite that closes with "N passed, N failed"
  local name=$1 started=$SECONDS status good bad
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$results/output"
  status=${PIPESTATUS[0]}
  if [[ $(tail -n 1 "$results/output") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    good=${BASH_REMATCH[1]} bad=${BASH_REMATCH[2]}
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  else
    echo "$name ended without its closing line (exit status $status)"
    good=0 bad=1
  fi
  count "$name" "$good" "$bad"
}

swift_tests() { # NAME ARGUMENT...: tests of the package
  local name=$1 started=$SECONDS status good bad
  shift
  printf '\n== %s\n' "$name"
  rm -f "$results/swift.xml"
  # shellcheck disable=SC2086
  $SWIFT test -j "$JOBS" --disable-xctest --xunit-output "$results/swift.xml" "$@" 2>&1 | tee "$results/output"
  status=${PIPESTATUS[0]}
  read -r good bad < <(python3 Scripts/count-tests.py "$results/swift.xml") || { good=0 bad=1; }
  # A run that failed without a failing test (it did not build, it crashed) failed all the same.
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  if [ "$good" = 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  count "$name" "$good" "$bad"
}

vlan_elsewhere() {
  Scripts/test-vm.sh --prepare && VM_TIMEOUT=900 VM_MEMORY=3G setpriv --pdeathsig TERM \
    Tests/VirtualMachine/run.sh .build/vm "Tests/runtimes/runtimes.py $PRODUCT --only podman --scenario 'a VLAN'"
}

export TESTS_FOR_ANOTHER_KERNEL=$results/elsewhere
swift_tests 'swift test' --skip "$measuring" --skip "$asynchronous"
swift_tests 'swift test, asynchronous' --skip-build --filter "$asynchronous"
swift_tests 'swift test, measuring' --skip-build --filter "$measuring"
unset TESTS_FOR_ANOTHER_KERNEL

if [ -s "$results/elsewhere" ]; then
  # It ends its machines, and ends itself if this script is killed.
  suite 'swift test, virtual machine' setpriv --pdeathsig TERM Scripts/test-elsewhere.sh "$results/elsewhere"
fi

for script in Tests/Shell/*.sh Tests/Shell/*.py; do
  suite "$(basename "${script%.*}")" "$script"
done
suite runtimes setpriv --pdeathsig TERM Tests/runtimes/runtimes.py "$PRODUCT"
if [ "${VM:-}" != no ] && grep -q 'a VLAN: not on this kernel' "$results/output"; then
  suite 'runtimes, virtual machine' vlan_elsewhere
fi
suite crash Tests/crash/run.sh --quick --limit 15
suite differential python3 Tests/differential/differential.py --ours "$PRODUCT" --go "$PEER_BIN_DIR" --quick

printf '\n'
row suite kernel passed failed min:s
cat "$results/table"
row all '' "$passed" "$failed" "$(time_since "$begun")"
if [ -s "$results/failures" ]; then
  printf '\nwhat failed:\n'
  cat "$results/failures"
fi
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
