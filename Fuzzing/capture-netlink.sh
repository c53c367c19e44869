#!/bin/sh
# Records what the kernel answers to iproute2, in network namespaces of its own, as the corpus of the fuzz target
# `netlink`: one file for each datagram.
#
#   sudo Fuzzing/capture-netlink.sh        (needs iproute2, strace, unshare)
set -eu
corpus=$(cd "$(dirname "$0")" && pwd)/Corpus/netlink
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/run" <<'END'
cd "$1"
mount -t tmpfs none /run
ip netns add peer
ip link add br0 index 10 type bridge
ip link add v0 index 11 type veth peer name v1 index 12 netns peer
ip link set v0 master br0
ip link set v0 alias an-alias
ip link property add dev v0 altname a-longer-name-than-fifteen
for link in lo br0 v0; do ip link set $link up; done
ip -n peer link set v1 up
ip addr add 192.0.2.1/24 brd + dev br0
ip addr add 2001:db8::1/64 dev br0 nodad
ip route add 198.51.100.0/24 via 192.0.2.254 mtu 1400 advmss 1360 table 1000 dev br0
ip route add 198.18.0.0/15 nexthop via 192.0.2.2 dev br0 weight 2 nexthop via 192.0.2.3 dev br0
ip route add 203.0.113.0/24 via inet6 2001:db8::2 dev br0
ip route add default via 2001:db8::2 dev br0
ip rule add priority 1000 from 10.22.0.0/16 ipproto tcp dport 80-90 iif v0 table 1000
ip rule add priority 1001 not fwmark 1/0xff uidrange 0-1000 table 100
ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev br0
bridge fdb add 02:00:00:00:00:0a dev v0 master static
ip link add ifb0 index 14 type ifb
tc qdisc add dev br0 root handle 1: htb default 10
tc class add dev br0 parent 1: classid 1:10 htb rate 10mbit ceil 40gbit
tc qdisc add dev br0 parent 1:10 handle 20: tbf rate 20mbit burst 100kb latency 25ms peakrate 40mbit mtu 1540
tc qdisc add dev v0 handle ffff: ingress
tc filter add dev v0 parent ffff: protocol all prio 1 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev ifb0
record() {
  name=$1
  shift
  # `read=all` makes strace print every byte of what is received.
  strace -o "$name.trace" -e trace=recvmsg -e signal=none -e read=all "$@" >/dev/null 2>&1 || true
}
record link ip -d link show dev v0
record links ip -d link show
record addresses ip addr show
record routes4 ip -4 route show table all
record routes6 ip -6 route show table all
record rules ip rule show
record rules6 ip -6 rule show
record neighbours ip neigh show
record forwarding bridge fdb show
record vlans bridge vlan show
record qdiscs tc qdisc show
record classes tc class show dev br0
record filters tc filter show dev v0 ingress
record missing ip link show dev nosuch
record refused ip link set br0 mtu 10
END
unshare -nm sh "$work/run" "$work"

rm -f "$corpus"/*
for trace in "$work"/*.trace; do
  awk '/^recvmsg/ { if (hex) print hex; hex = "" }
    /^ \| [0-9a-f]+  / { line = substr($0, index($0, "  ") + 2, 49); gsub(/ /, "", line); hex = hex line }
    END { if (hex) print hex }' "$trace" | sort -u |
    while read -r hex; do
      printf '%s' "$hex" | xxd -r -p >"$work/datagram"
      mv "$work/datagram" "$corpus/$(basename "$trace" .trace)-$(cksum <"$work/datagram" | cut -d' ' -f1)"
    done
done
# The same question is asked by many commands.
for file in "$corpus"/*; do cksum <"$file" | tr '\n' ' ' && echo "$file"; done | sort |
  awk '$1 == last { print $3 } { last = $1 }' | xargs -r rm -f
