#!/bin/bash
# The demo is a test, too: each of its lines "ok" and "FAILED" counts, and that it leaves the machine as it was.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

machine() {
  ip -o link show | cut -d : -f 2
  ip -o address show | sed 's/ valid_lft.*//'
  ls -d /run/netns/* /run/demo /var/lib/cni /etc/cni 2>/dev/null
}

before=$(machine)
output=$(Scripts/demo.sh "${PRODUCT:-.build/install/cni}" 2>&1)
status=$?
after=$(machine)

passed=$(grep -c '^  ok ' <<<"$output")
failed=$(grep -c '^  FAILED ' <<<"$output")
if [ "$status" != 0 ]; then
  printf '%s\n' "$output"
  if [ "$failed" = 0 ]; then failed=1; fi
fi
if [ "$before" = "$after" ]; then
  passed=$((passed + 1))
else
  failed=$((failed + 1))
  echo "FAILED: the machine is not as it was"
  diff <(echo "$before") <(echo "$after")
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
