#!/bin/sh
# Records what `nft` sends to the kernel for the lines in the head of each fixture, in a network
# namespace of its own, and rewrites the fixture:
#
#   # setup: LINE     sent to the kernel first, not recorded
#   # LINE            one command of the recorded `nft -f`
#   HEX               one netlink message of the batch, in order
#
#   sudo ./capture-nft.sh [FIXTURE.txt ...]       (needs nft, strace, unshare; recorded with nft 1.0.6)
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- *.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for fixture; do
  grep '^# setup: ' "$fixture" | sed 's/^# setup: //' >"$work/setup" || true
  grep '^# ' "$fixture" | grep -v '^# setup: ' | sed 's/^# //' >"$work/lines"
  # `write=3` makes strace print every byte of what is sent on the netlink socket.
  unshare -n sh -c '
    ip link set lo up
    nft -f "$1/setup" &&
    strace -o "$1/trace" -e trace=sendmsg -e signal=none -e write=3 nft -f "$1/lines"' sh "$work" || {
    echo "$fixture: nft refused its lines" >&2
    exit 1
  }
  awk '
    # Hex columns only: " | 00010  01 02 ...  0a ...  text |"
    /^ \| [0-9a-f]+  / { hex = substr($0, index($0, "  ") + 2, 49); gsub(/ /, "", hex); all = all hex }
    function value(text,   i, n) {
      n = 0
      for (i = 1; i <= length(text); i++) n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
      return n
    }
    END {
      while (length(all) >= 32) {
        size = value(substr(all, 3, 2) substr(all, 1, 2))
        size = int((size + 3) / 4) * 4
        print substr(all, 1, size * 2)
        all = substr(all, size * 2 + 1)
      }
    }' "$work/trace" >"$work/hex"
  { grep '^# ' "$fixture"; cat "$work/hex"; } >"$work/new"
  mv "$work/new" "$fixture"
done
