#!/bin/bash
# The example packages, as their readers use them: they build, their tests pass, and what comes out is a plugin.
#
# A scratch directory of their own keeps what they need of this package, so that only the first time takes long.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
: "${SWIFT:=swift}" "${JOBS:=$(nproc)}"

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
passed=0 failed=0
expect() { # DESCRIPTION COMMAND...
  local what=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; fi
}
options=(--package-path Examples/SamplePlugin --scratch-path "$PWD/.build/examples" -j "$JOBS")
if ! $SWIFT test "${options[@]}" --disable-xctest --xunit-output "$directory/tests.xml" >"$directory/log" 2>&1; then
  cat "$directory/log"
fi
read -r passed failed < <(python3 Scripts/count-tests.py "$directory/tests.xml")
if [ "$passed" = 0 ]; then
  echo "0 passed, $((failed + 1)) failed"
  exit 1
fi

# The executable, as a runtime calls it.
bin=$($SWIFT build "${options[@]}" --show-bin-path)
sample=$bin/sample
call() { # COMMAND MEMBERS
  CNI_COMMAND=$1 CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/c1 CNI_IFNAME=eth0 CNI_PATH=/none "$sample" \
    >"$directory/output" <<<"{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"sample\",\"directory\":\"$directory/hosts\"$2}"
}
no_libraries() { ! ldd "$sample" 2>/dev/null | grep -q '=>'; }
explains_itself() { env -u CNI_COMMAND "$sample" 2>&1 | grep -q "hosts files"; }
says() { grep -q -- "$1" "$directory/output"; }
not() { ! "$@"; }
result=',"prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}'
entry=$directory/hosts/net/c1:eth0

expect "it is one static file" no_libraries
expect "ADD" call ADD "$result"
expect "the result is handed on" says '"10.1.2.3/24"'
expect "the name is known" grep -qx "10.1.2.3 c1" "$entry"
expect "ADD twice fails" not call ADD "$result"
expect "with a code of its own" says '"code": 101'
expect "CHECK" call CHECK "$result"
expect "DEL" call DEL ""
expect "DEL again" call DEL ""
expect "the name is gone" [ ! -e "$entry" ]
expect "alone it fails" not call ADD ""
expect "and says why" says "prevResult"
expect "called by hand it explains itself" explains_itself

# A program that gives containers networks: a client by product only, on a host of its own.
options=(--package-path Examples/ContainerNetworkingExample --scratch-path "$PWD/.build/examples" -j "$JOBS")
logged() { "$@" >"$directory/output" 2>&1 || { cat "$directory/output" && return 1; }; }
# shellcheck disable=SC2086
expect "the container manager builds" logged $SWIFT build "${options[@]}"
network=$($SWIFT build "${options[@]}" --show-bin-path)/container-network
mkdir -p "$directory/net.d"
cat >"$directory/net.d/10-podnet.conflist" <<END
{"cniVersion":"1.1.0","name":"podnet","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
END
on_a_host() {
  # shellcheck disable=SC2016
  unshare -mn sh -ec 'mount --make-rprivate /; for d in /run /var/lib; do mount -t tmpfs t $d; done
    ip netns add example-ns-1; "$@"; ip -n example-ns-1 -o link | grep -v ": lo:" && exit 1
    ls -A /var/lib/cni/results | grep . && exit 1; ip -o link | grep veth && exit 1; exit 0' \
    sh "$network" /run/netns/example-ns-1 "$directory/net.d" "$directory/nothing"
}
expect "it gives a container its networks, and takes them off" logged on_a_host
expect "the container had an address" says "the address of eth0 is 10.88.0.2/16"
expect "and has none any more" says "removed"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
