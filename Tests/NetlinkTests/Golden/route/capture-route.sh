#!/bin/sh
# Records what iproute2 (ip, bridge, tc) sends to the kernel for the commands in the head lines of each fixture, and rewrites the
# fixture:
#
#   # COMMAND         run in network namespaces of its own, prepared as below
#   HEX               the change it asks for, sequence number 0; its look-ups are left out
#
# Recorded also where the kernel refuses the change: what is compared is what was asked.
#
#   sudo ./capture-route.sh [FIXTURE.txt ...]    (needs iproute2, strace, unshare; recorded with iproute2 6.1.0)
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- *.txt ../traffic/*.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/run" <<'END'
mount -t tmpfs none /run
ip netns add peer
ip link add br0 index 10 type bridge
ip link add v0 index 11 type veth peer name v1 index 12
ip link set v0 master br0
for link in lo br0 v0 v1; do ip link set $link up; done
ip link add link v1 name m1 index 13 type macvlan mode bridge
ip link add name ifb0 index 14 type ifb
ip addr add 192.0.2.1/24 dev v0
trace=$1
shift
# `write=all` makes strace print every byte of what is sent on the netlink sockets.
strace -o "$trace" -e trace=sendmsg,sendto -e signal=none -e write=all "$@" >/dev/null 2>&1 || true
END

for fixture; do
  : >"$work/new"
  grep '^# ' "$fixture" | sed 's/^# //' | while read -r command; do
    # The commands are plain words: no quotes in them.
    # shellcheck disable=SC2086
    unshare -nm sh "$work/run" "$work/trace" $command
    echo "# $command" >>"$work/new"
    awk '
      function value(text,   i, n) {
        n = 0
        for (i = 1; i <= length(text); i++) n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
        return n
      }
      # Keep changes: type % 4 is 2 for look-ups; sequence 0 is a probe of what the kernel knows.
      function flush(   type) {
        type = value(substr(message, 9, 2))
        if (length(message) >= 32 && type % 4 != 2 && substr(message, 17, 8) != "00000000")
          print substr(message, 1, 16) "00000000" substr(message, 25)
        message = ""
      }
      /^send/ { flush() }
      # Hex columns only: " | 00010  01 02 ...  0a ...  text |"
      /^ \| [0-9a-f]+  / { hex = substr($0, index($0, "  ") + 2, 49); gsub(/ /, "", hex); message = message hex }
      END { flush() }' "$work/trace" >>"$work/new"
  done
  mv "$work/new" "$fixture"
done
