#!/bin/bash
# test-elsewhere.sh LIST: runs the tests that this kernel could not, in virtual machines. LIST is what TESTS_FOR_ANOTHER_KERNEL got:
# lines of what is needed, a tab, and the test. The last line is "N passed, N failed"; a test that did not run failed.
#
# VM=no: only names them. VM_TIMEOUT: seconds until a machine is given up; 1200 if it is not set.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export VM_TIMEOUT=${VM_TIMEOUT:-1200}

results=$(mktemp -d)
machines=()
# shellcheck disable=SC2317 # the trap calls it
finish() {
  for machine in "${machines[@]}"; do kill "$machine" 2>/dev/null; done
  wait
  rm -rf "$results"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

# What wants a kernel without something is content with this one not running it: there is no such kernel at hand.
sed -n 's/^without \([^\t]*\)\t\(.*\)/not run, this kernel has \1: \2/p' "$1"
sed -n 's/^with [^\t]*\t//p' "$1" | sort -u >"$results/tests"
if [ ! -s "$results/tests" ]; then
  echo "0 passed, 0 failed"
  exit
fi

untested() { sed -n 's/^with \([^\t]*\)\t\(.*\)/did not run, this kernel lacks \1: \2/p' "$1" | sort -u; }
total=$(wc -l <"$results/tests")
if [ "${VM:-}" = no ]; then
  untested "$1"
  echo "VM=no: these $total tests do not count"
  echo "0 passed, 0 failed"
  exit
fi
if [ "$(uname -m)" != x86_64 ] || ! Scripts/test-vm.sh --prepare; then
  untested "$1"
  echo "no virtual machine for these $total tests: it needs an x86-64 system and Debian's packages (VM=no does without)"
  echo "0 passed, $total failed"
  exit 1
fi

# A machine has one processor: two share the tests.
count=1
if [ "$(nproc)" -gt 1 ] && [ "$total" -gt 1 ]; then count=2; fi
echo "$total tests in $count virtual machines; what they print comes at the end"
for ((number = 0; number < count; number++)); do
  mkdir "$results/$number"
  # Names as patterns: any character where it is not a letter or a digit.
  tests=$(awk -v n="$number" -v of="$count" 'NR % of == n' "$results/tests" | sed 's/[^A-Za-z0-9_]/./g' | paste -sd '|')
  VM_JOB=$results/$number setpriv --pdeathsig TERM Scripts/test-vm.sh "^($tests)\$" >"$results/$number/output" 2>&1 &
  machines+=($!)
done
crashed=0
for ((number = 0; number < count; number++)); do
  wait "${machines[number]}"
  status=$?
  cat "$results/$number/output"
  # Swift Testing ends with 1 where a test failed; whatever else is no test's own failure.
  if [ "$status" -gt 1 ]; then crashed=1; fi
done
machines=()
read -r good bad < <(python3 Scripts/count-tests.py --expected "$results/tests" "$results"/*/swift.xml)
if [ "$crashed" = 1 ] && [ "$bad" = 0 ]; then bad=1; fi
echo "$good passed, $bad failed"
[ "$bad" = 0 ]
