#!/bin/bash
# demo.sh [EXECUTABLE]: a network for two containers, with no plugin directory and no configuration anywhere.
#
# A network namespace plays the host, another the world outside; state directories are empty and private. What is made
# here ends with this script, and the machine's own network is not touched.
set -euo pipefail

if [ "${DEMO_NAMESPACES:-}" != 1 ]; then
  [ "$(id -u)" = 0 ] || { echo "make demo makes namespaces, for which it must be root" >&2; exit 1; }
  executable=$(realpath "${1:-.build/install/cni}")
  export DEMO_NAMESPACES=1
  exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$executable"
fi
executable=$1

# ---- A host that has nothing

cover() { if [ -d "$1" ]; then mount -t tmpfs none "$1"; fi; }
mount -t tmpfs none /run
cover /etc/cni
cover /opt/cni
if [ -d /var/lib/cni ]; then cover /var/lib/cni; else mount -t tmpfs none /var/lib; fi
unset CNI_PATH NETCONFPATH CNI_ARGS CAP_ARGS CNI_IFNAME
ip link set lo up

mkdir -p /run/demo /run/netns
tool=/run/demo/cnitool
ln -s "$executable" "$tool"

# Of its own, so that a command can be shown whose output goes into a pipe.
exec 3>&1
bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'; fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() { # COMMAND...: prints the command, in the quotes that it needs, and runs it
  local word line=
  for word in "$@"; do
    word=${word#/run/demo/}
    case $word in *[!A-Za-z0-9/._=-]*) word=${word@Q} ;; esac
    line+=" $word"
  done
  printf '%s$%s%s\n' "$dim" "$line" "$plain" >&3
  "$@"
}
problems=0
expect() { # DESCRIPTION COMMAND...
  local what=$1
  shift
  if "$@"; then printf '  ok      %s\n' "$what"; else
    printf '  FAILED  %s\n' "$what"
    problems=$((problems + 1))
  fi
}
nothing() { # COMMAND...: succeeds if the command prints nothing
  local output
  output=$("$@" 2>/dev/null || true)
  [ -z "$output" ] || { printf '%s\n' "$output" | sed 's/^/          /'; return 1; }
}

title "No plugins, no configuration"
expect "no /opt/cni/bin" [ ! -e /opt/cni/bin ]
expect "no /etc/cni/net.d" [ ! -e /etc/cni/net.d ]
expect "no CNI_PATH" [ -z "${CNI_PATH:-}" ]
rules_before=$(nft list ruleset)

title "One container, for as long as a command runs"
# $1 belongs to the shell inside.
# shellcheck disable=SC2016
show "$tool" run -- sh -c 'ip addr; echo; ip route; echo; ping -c 2 -W 2 "$(ip -4 route show default | cut -d " " -f 3)"'

title "The same network as a file: bridge cni0, gateway, masquerade, 10.22.0.0/16; and the loopback"
networks=/run/demo/net.d
mkdir "$networks"
cat >"$networks/10-default.conflist" <<'EOF'
{
  "cniVersion": "1.0.0",
  "name": "mynet",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "ipam": {
        "type": "host-local",
        "subnet": "10.22.0.0/16",
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    }
  ]
}
EOF
cat >"$networks/99-loopback.conflist" <<'EOF'
{ "cniVersion": "1.0.0", "name": "lo", "plugins": [{ "type": "loopback" }] }
EOF
cat "$networks/10-default.conflist"
export NETCONFPATH=$networks
show "$tool" list

title "Two containers"
for container in one two; do
  ip netns add "$container"
  CNI_IFNAME=lo "$tool" add lo "/run/netns/$container" >/dev/null
  show "$tool" add mynet "/run/netns/$container" | tee "/run/demo/$container.json"
  show "$tool" check mynet "/run/netns/$container"
done
address_of() { ip -netns "$1" -4 -o address show dev eth0 | sed 's/.*inet \([0-9.]*\).*/\1/'; }
one=$(address_of one) two=$(address_of two)
show ip -netns one address show
expect "the containers have different addresses ($one, $two)" [ "$one" != "$two" ]
expect "one reaches two" ip netns exec one ping -q -c 2 -W 2 "$two"
expect "two reaches one" ip netns exec two ping -q -c 2 -W 2 "$one"
expect "one reaches the gateway" ip netns exec one ping -q -c 2 -W 2 10.22.0.1

title "The world outside: 198.51.100.2, behind the host's own address 198.51.100.1; it knows no way to 10.22.0.0/16"
ip netns add world
ip link add out0 type veth peer name eth0 netns world
ip address add 198.51.100.1/24 dev out0
ip link set out0 up
ip -netns world address add 198.51.100.2/24 dev eth0
ip -netns world link set lo up
ip -netns world link set eth0 up

cat >/run/demo/world.py <<'EOF'
import socket
server = socket.create_server(("198.51.100.2", 8080))
open("/run/demo/ready", "w").close()
for _ in range(2):
    connection, peer = server.accept()
    connection.sendall(f"you come from {peer[0]}\n".encode())
    connection.close()
EOF
cat >/run/demo/ask.py <<'EOF'
import socket
with socket.create_connection(("198.51.100.2", 8080), timeout=5) as connection:
    print(connection.makefile().readline().strip())
EOF
ip netns exec world python3 /run/demo/world.py &
world=$!
for _ in $(seq 100); do if [ -e /run/demo/ready ]; then break; fi; sleep 0.05; done
for container in one two; do
  answer=$(ip netns exec "$container" python3 /run/demo/ask.py || true)
  printf '  the world to %s (%s): %s\n' "$container" "$(address_of "$container")" "$answer"
  expect "it sees the host's address" [ "$answer" = "you come from 198.51.100.1" ]
done
kill "$world" 2>/dev/null || true
wait "$world" 2>/dev/null || true

title "The rules that did it"
show nft list ruleset

title "And away"
for container in one two; do
  show "$tool" del mynet "/run/netns/$container"
  CNI_IFNAME=lo "$tool" del lo "/run/netns/$container"
  ip netns delete "$container"
done
ip link delete out0
ip netns delete world

left_files() { find /var/lib/cni /run/cni \( -type f -o -type l \) ! -name lock ! -name 'last_reserved_ip.*' "$@"; }
rules_left() { nft list ruleset | grep -E 'masquerade|mynet|cnitool-|10\.22\.|elements'; }
made_links() { ip -o link show type bridge; ip -o link show type veth; }
expect "no link left, the bridge included" nothing made_links
expect "no namespace left" nothing ip netns list
expect "no lease left" nothing left_files -path '*/networks/*'
expect "no cached result left" nothing left_files -path '*/results/*'
expect "no rule left of a container" nothing rules_left
if [ "$(nft list ruleset)" = "$rules_before" ]; then echo "          (the rule set is empty again)"; fi

if [ "$problems" = 0 ]; then
  printf '\nAll of it worked, and nothing is left.\n'
else
  printf '\n%s of these did not work.\n' "$problems"
  exit 1
fi
