#!/bin/bash
# Installing and removing, with a stand-in for the executable: what counts here is what happens to the names.
# shellcheck disable=SC2016
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

directory=$(mktemp -d)
sleeper=
cleanup() {
  [ -n "$sleeper" ] && kill "$sleeper" 2>/dev/null
  rm -rf "$directory"
}
trap cleanup EXIT

passed=0 failed=0
expect() { # DESCRIPTION COMMAND...
  local what=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; fi
}
executable() { # FILE VERSION NAME...
  local file=$1 version=$2
  shift 2
  printf '#!/bin/sh\n[ "$2" = --test-plugins ] && set -- "$1" "$2" noop\n[ "$1" = --list-names ] && exec printf "%%s\\n" %s $3\necho %s\n' \
    "$*" "$version" >"$file"
  chmod 755 "$file"
}
answers() { [ "$("$1" | tail -n 1)" = "$2" ]; }
same_file() { [ "$1" -ef "$2" ]; }
not() { ! "$@"; }

bin=$directory/opt/cni/bin prefix=$directory/usr/local/bin
executable "$directory/first" 1 bridge host-local
executable "$directory/second" 2 bridge host-local loopback

expect "a first installation" Scripts/install.sh "$directory/first" "$bin" "$prefix" >/dev/null
expect "names share one file" same_file "$bin/bridge" "$bin/host-local"
expect "cnitool shares it too" same_file "$bin/bridge" "$prefix/cnitool"
expect "it runs" answers "$bin/bridge" 1

# A binary of somebody else's, running, under a name of ours; one under another name; a symbolic link.
cp "$(type -P sleep)" "$directory/sleep"
ln -f "$directory/sleep" "$bin/bridge"
"$bin/bridge" 60 &
sleeper=$!
cp "$(type -P true)" "$bin/calico"
ln -sf calico "$bin/host-local"
expect "replacing a running plugin" Scripts/install.sh "$directory/second" "$bin" "$prefix" >/dev/null
expect "what runs goes on running" kill -0 "$sleeper"
expect "the name is the new file" answers "$bin/bridge" 2
expect "a symbolic link is replaced, not followed" answers "$bin/host-local" 2
expect "its target is as it was" cmp -s "$bin/calico" "$(type -P true)"
expect "again over itself" Scripts/install.sh "$directory/second" "$bin" "$prefix" >/dev/null
expect "no temporary file stays" [ -z "$(find "$directory" -name '.*swift-cni-new')" ]

# Killed half-way, at each name in turn: a wrapper around mv stands for the crash.
mkdir "$directory/path"
for stop in 1 2 3; do
  executable "$directory/third" "3-$stop" bridge host-local loopback
  cat >"$directory/path/mv" <<EOF
#!/bin/sh
echo x >>"$directory/count"
[ \$(wc -l <"$directory/count") -ge $stop ] && kill -9 \$PPID && exit 1
exec $(type -P mv) "\$@"
EOF
  chmod 755 "$directory/path/mv"
  rm -f "$directory/count"
  # In a shell of its own, which does not report the kill.
  (PATH=$directory/path:$PATH Scripts/install.sh "$directory/third" "$bin" "$prefix" || true) >/dev/null 2>&1
  working=0
  for name in bridge host-local loopback; do
    [ -n "$("$bin/$name" --list-names)" ] && working=$((working + 1))
  done
  expect "killed at step $stop, every name works" [ "$working" = 3 ]
done
expect "after a kill, installing works" Scripts/install.sh "$directory/second" "$bin" "$prefix" >/dev/null
expect "and clears what the killed ones left" [ -z "$(find "$directory" -name '.*swift-cni-new')" ]

executable "$directory/strange" 4 ../bridge
expect "a strange name is refused" not Scripts/install.sh "$directory/strange" "$bin" "$prefix" 2>/dev/null

expect "no test plugins unless asked for" [ ! -e "$bin/noop" ]
TEST_PLUGINS=1 expect "asked for" Scripts/install.sh "$directory/second" "$bin" "$prefix" >/dev/null
expect "they are there" same_file "$bin/noop" "$prefix/cnitool"
expect "removing" Scripts/uninstall.sh "$bin" "$prefix" >/dev/null
expect "only others' plugins stay" [ "$(ls "$bin")" = calico ]
expect "removing twice says so" not Scripts/uninstall.sh "$bin" "$prefix" 2>/dev/null

units=$directory/units
says() { grep -qF "$2" "$1"; }
expect "installing systemd's units" Scripts/units.sh install "$units" /somewhere/bin >"$directory/said"
expect "it says how to use both" says "$directory/said" "systemctl enable --now cni-dhcp.socket cni-dhcp.service"
expect "both are there, and nothing else" [ "$(find "$units" -type f | wc -l)" = 2 ]
expect "the service starts the plugin directory's dhcp" says "$units/cni-dhcp.service" "ExecStart=/somewhere/bin/dhcp daemon"
expect "the socket is the one that the plugin looks for" says "$units/cni-dhcp.socket" "ListenStream=/run/cni/dhcp.sock"
expect "installing them again" Scripts/units.sh install "$units" /somewhere/bin >/dev/null
echo "[Unit]" >"$units/cni-dhcp.socket"
expect "removing them" Scripts/units.sh remove "$units" /somewhere/bin
expect "but not somebody else's" [ "$(ls -A "$units")" = cni-dhcp.socket ]

if [ -x "${PRODUCT:-}" ]; then
  expect "installing the real one" Scripts/install.sh "$PRODUCT" "$bin" "$prefix" >/dev/null
  for name in bridge dhcp host-local loopback static; do
    expect "$name is among it" same_file "$bin/$name" "$prefix/cnitool"
  done
  expect "no test doubles are" [ ! -e "$bin/noop" ]
  TEST_PLUGINS=1 expect "installing these, too" Scripts/install.sh "$PRODUCT" "$bin" "$prefix" >/dev/null
  for name in noop debug; do expect "$name is there" same_file "$bin/$name" "$prefix/cnitool"; done
  expect "the set takes at most 16 MB" [ "$(du -sm "$directory/opt" | cut -f 1)" -le 16 ]
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
