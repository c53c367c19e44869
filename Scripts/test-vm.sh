#!/bin/bash
# test-vm.sh FILTER: runs the Swift tests that match, a regular expression as for `swift test --filter`, in the virtual
# machine of Tests/VirtualMachine, and prints what they print. They have to be built.
# test-vm.sh --prepare: only makes the machine, and installs what that takes.
#
# With VM_JOB set, an xunit file comes into that directory, swift.xml. VM_TIMEOUT: seconds until the machine is given up.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
: "${SWIFT:=swift}"

Scripts/require.sh qemu-system-x86 xz-utils util-linux python3 && Tests/VirtualMachine/setup.sh .build/vm || exit 125
if [ "$1" = --prepare ]; then exit 0; fi

# shellcheck disable=SC2086
executable=$($SWIFT build --show-bin-path)/swift-cniPackageTests.xctest
[ -x "$executable" ] || { echo "build the tests first: swift build --build-tests" >&2 && exit 1; }
exec Tests/VirtualMachine/run.sh .build/vm \
  "exec $(printf %q "$executable") --testing-library swift-testing --filter $(printf %q "$1") --xunit-output /run/job/swift.xml"
