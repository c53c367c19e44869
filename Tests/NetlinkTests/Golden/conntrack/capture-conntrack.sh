#!/bin/sh
# Records what `conntrack` and the kernel say to each other, in a network namespace of its own:
#
#   entries.txt   `# LINE` of conntrack -L, and the message it was made of
#   delete.txt    `# LINE` of conntrack -D, and the message it sent for it
#
#   sudo ./capture-conntrack.sh       (needs conntrack, nft, strace, unshare, python3; recorded with conntrack 1.4.7)
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unshare -mn sh -euc '
  mount --make-rprivate /
  mount -t tmpfs none /run
  ip link set lo up
  ip netns add peer
  ip link add v0 type veth peer name v1 netns peer
  ip addr add 10.0.0.1/24 dev v0
  ip addr add fd00::1/64 dev v0 nodad
  ip link set v0 up
  ip -n peer addr add 10.0.0.2/24 dev v1
  ip -n peer addr add fd00::2/64 dev v1 nodad
  ip -n peer link set v1 up
  nft "add table inet t
    add chain inet t nat { type nat hook output priority -100; }
    add rule inet t nat udp dport 5353 dnat ip to 10.0.0.2:53
    add rule inet t nat udp dport 5353 dnat ip6 to [fd00::2]:53
    add chain inet t marks { type filter hook output priority 0; }
    add rule inet t marks udp dport 99 ct mark set 7"
  python3 -c "
import socket
for family, source, target, port in (
    (socket.AF_INET, 40099, \"10.0.0.2\", 99), (socket.AF_INET, 45353, \"10.0.0.2\", 5353),
    (socket.AF_INET6, 45353, \"fd00::2\", 5353)):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((\"\", source))
    s.sendto(b\"x\", (target, port))
"
  ping -c1 -W1 10.0.0.2 >/dev/null
  ping -c1 -W1 fd00::2 >/dev/null
  trace() { strace -e trace=sendto,recvmsg -e signal=none -e read=all -e write=all -o "$1/trace-$2" conntrack $3 >"$1/text-$2" 2>/dev/null; }
  trace "$1" four "-L -f ipv4"
  trace "$1" six "-L -f ipv6"
  trace "$1" delete4 "-D -p udp --dport 5353 -f ipv4"
  trace "$1" delete6 "-D -p udp --dport 5353 -f ipv6"
' sh "$work"
python3 - "$work" <<'P'
import re, struct, sys
def messages(path, wanted, call):
    datagram, all_of_them = b"", []
    def end():
        nonlocal datagram
        while len(datagram) >= 16:
            size, kind = struct.unpack_from("<IH", datagram)
            if kind == wanted: all_of_them.append(datagram[:size])
            datagram = datagram[(size + 3) & ~3:]
        datagram = b""
    current = ""
    for line in open(path):
        match = re.match(r" \| ([0-9a-f]{5})  (.{49})", line)
        if match:
            if current == call: datagram += bytes.fromhex(match[2].replace(" ", ""))
        elif not line.startswith(" *"):
            end()
            current = line.split("(")[0]
    end()
    return all_of_them
def lines(path):
    return [" ".join(line.split()) for line in open(path) if line.strip()]
work = sys.argv[1]
with open("entries.txt", "w") as file:
    for name in ("four", "six"):
        texts = lines(f"{work}/text-{name}")
        found = messages(f"{work}/trace-{name}", 0x100, "recvmsg")
        assert len(texts) == len(found) and texts, (texts, len(found))
        for text, message in zip(texts, found): print(f"# {text}\n{message.hex()}", file=file)
with open("delete.txt", "w") as file:
    for name in ("delete4", "delete6"):
        texts = lines(f"{work}/text-{name}")
        found = messages(f"{work}/trace-{name}", 0x102, "sendto")
        assert len(texts) == len(found) == 1, (texts, found)
        print(f"# {texts[0]}\n{found[0].hex()}", file=file)
P
