#!/bin/bash
# cnitool as a person uses it: exit statuses, what it says of mistakes, and that nothing stays of what it began.
#
#     cnitool.sh [EXECUTABLE]    (or PRODUCT in the environment)
#
# Everything happens in namespaces of its own, which end with this script.
set -uo pipefail
if [ "${CNITOOL_NAMESPACES:-}" != 1 ]; then
  executable=$(realpath "${1:-${PRODUCT:-.build/install/cni}}") || exit 1
  export CNITOOL_NAMESPACES=1
  exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$executable"
fi
mount -t tmpfs none /run || exit 1
if [ -d /var/lib/cni ]; then mount -t tmpfs none /var/lib/cni; else mount -t tmpfs none /var/lib; fi || exit 1
unset CNI_PATH CNI_ARGS CAP_ARGS CNI_IFNAME
chmod 755 /run
mkdir -p /run/netns /run/net.d
export NETCONFPATH=/run/net.d
# A copy: without privileges, the directory of the build may be out of reach.
install -m 755 "$1" /run/cnitool
ln /run/cnitool /run/bridge
tool=/run/cnitool
ip link set lo up

passed=0 failed=0
output=
problem() {
  failed=$((failed + 1))
  printf 'FAILED: %s:\n%s\n' "$1" "$output"
}
says() { # TEXT: it has to be in what the last call printed
  if [[ $output == *"$1"* ]]; then passed=$((passed + 1)); else problem "no \"$1\" in"; fi
}
expect() { # STATUS TEXT ARGUMENTS...: runs cnitool; TEXT has to be in what it prints
  local status=$1 text=$2 found
  shift 2
  output=$("$tool" "$@" 2>&1)
  found=$?
  if [ "$found" = "$status" ] && [[ $output == *"$text"* ]]; then passed=$((passed + 1)); else
    problem "cnitool $*: status $found, not $status, or no \"$text\" in"
  fi
}
nothing() { # COMMAND...: prints nothing
  output=$("$@" 2>/dev/null)
  if [ -z "$output" ]; then passed=$((passed + 1)); else problem "left, by $*"; fi
}
unchanged() { nothing diff <(echo "$before") <(ip -o link | sed 's/qdisc.*//'); }

# ---- The command line
expect 2 "Usage: cnitool COMMAND"
expect 0 "Usage: cnitool COMMAND" --help
expect 0 "cnitool 0." --version
expect 0 "host-local" version
expect 0 "exit status is COMMAND's" help run
expect 2 "no command nonsense" nonsense
expect 2 "no command pod nonsense" pod nonsense
expect 0 "Usage: cnitool pod gc" pod --help
expect 0 "Usage: cnitool pod gc" help pod
expect 2 "needed" add podnet
expect 2 "one word too many" add podnet /run/netns/c1 eth0
expect 2 "one word too many" list everything
expect 2 "text or json" list --output xml
expect 2 "unknown option --what" check --what podnet /run/netns/c1
expect 2 "stands after --" run ip -4 address
expect 2 "a command to run" run

# ---- Configurations, all but the first with something wrong
expect 0 "No network in /run/net.d" list
cd /run/net.d || exit 1
echo '{"cniVersion":"1.1.0","name":"podnet","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,
"ipam":{"type":"host-local","subnet":"10.22.0.0/16"}}]}' >10-podnet.conflist
expect 0 "podnet" list
echo '{"cniVersion":"1.1.0","name":"w","plugins":[{"type":"bridge","isGatway":true,"ipam":{"type":"static","adresses":[],"addresses":[{"address":"10.1.2.3/24"}]}}]}' >15-spelling.conflist
expect 0 "2 warnings" list
says "nobody reads the key isGatway: did you mean isGateway?"
says "nobody reads the key ipam.adresses"
expect 0 '"warnings"' list --output json
rm 15-spelling.conflist
printf '{ "cniVersion": "1.1.0",\n  "name": "b", "plugins": [{ "type": "bridge", }] }' >20-comma.conflist
: >30-empty.conflist
echo '{"cniVersion":"9.9.9","name":"d","plugins":[{"type":"bridge"}]}' >40-version.conflist
echo '{"cniVersion":"1.1.0","name":"e","plugins":[{"type":"nosuch"}]}' >50-plugin.conflist
ln -s /nowhere 60-link.conflist
echo '{"cniVersion":"1.1.0","name":"g","plugins":[{"type":"bridge","mtu":"big","ipam":{"type":"static","addresses":[{"address":"10.1.2.3/24"}]}}]}' >65-key.conflist
echo '{"cniVersion":"1.1.0","name":"podnet","plugins":[{"type":"loopback"}]}' >70-twice.conflist
echo '{"cniVersion":"1.1.0","name":"f","type":"bridge"}' >80-form.conflist
expect 1 "8 problems" list
says "mtu: expected a number"
says "20-comma.conflist:2:"
for file in 30-empty 40-version 50-plugin 60-link 65-key 70-twice 80-form; do says "/run/net.d/$file.conflist"; done
expect 1 '"problems"' list --output json
expect 1 "20-comma.conflist" status nowhere

# ---- Attaching, in spite of them; detaching without the configuration
ip netns add c1
before=$(ip -o link | sed 's/qdisc.*//')
expect 0 "" status podnet
# Who cannot be told the result takes the container for unattached: then it is.
output=$("$tool" add podnet /run/netns/c1 2>&1 >/dev/full)
says "cannot write the standard output: No space left on device (ENOSPC)"
unchanged
nothing find /var/lib/cni/results -type f
expect 0 '"10.22.0.' add podnet /run/netns/c1
expect 0 "" check podnet /run/netns/c1
expect 1 "already" add podnet /run/netns/c1
expect 0 "" check podnet /run/netns/c1
rm 10-podnet.conflist 70-twice.conflist
expect 0 "" del podnet /run/netns/c1
unchanged
nothing find /var/lib/cni/results -type f
expect 1 "cannot find network" add podnet /run/netns/c1
rm ./*

# ---- Environment
CAP_ARGS=x expect 1 "CAP_ARGS is not JSON" add default /run/netns/c1
CNI_ARGS=x expect 1 "CNI_ARGS" add default /run/netns/c1
CNI_IFNAME=toolongforaninterface expect 1 "CNI_IFNAME" add default /run/netns/c1
CNI_IFNAME=. expect 1 "is not a name that an interface can have" add default /run/netns/c1
CNI_ARGS="FOO=1" expect 1 "unknown key" add default /run/netns/c1
CNI_ARGS="IgnoreUnknown=1;FOO=1;IP=10.22.0.9" expect 0 '"10.22.0.9/16"' add default /run/netns/c1
expect 0 "" gc default
unchanged

# ---- A command
expect 7 "" run -- sh -c 'exit 7'
# shellcheck disable=SC2016
expect 137 "" run -- sh -c 'kill -9 $$'
expect 0 "10.22.0." run -- ip -4 address
# The request to end comes before the tool has begun to wait.
# shellcheck disable=SC2016
for _ in 1 2 3 4 5; do expect 143 "" run -- sh -c 'kill -TERM $PPID; exec sleep 30'; done
unchanged
"$tool" run -- sh -c 'touch /run/started; exec sleep 30' 2>/dev/null &
process=$!
for _ in $(seq 200); do if [ -e /run/started ]; then break; fi; sleep 0.05; done
kill -TERM "$process"
wait "$process"
ip netns delete c1
unchanged
nothing ip netns list
nothing find /var/lib/cni/results -type f
nothing find /var/lib/cni/networks -name '10.*'

# ---- Without privileges
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
output=$(as_nobody "$tool" run -- true 2>&1)
says "permi"
for command in ADD STATUS; do
  output=$(as_nobody env CNI_COMMAND=$command CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS=/proc/1/ns/net /run/bridge \
    <<<'{"cniVersion":"1.1.0","name":"n","type":"bridge"}' 2>&1)
  if [ $command = STATUS ]; then
    says "CAP_NET_ADMIN"
    says '"code": 50'
  else
    says "permi"
  fi
done

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
