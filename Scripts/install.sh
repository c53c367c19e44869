#!/bin/bash
# install.sh EXECUTABLE PLUGIN_DIRECTORY PROGRAM_DIRECTORY
#
# TEST_PLUGINS=1 in the environment: also the stand-ins for tests of runtimes, noop and debug.
#
# One file under many names: the executable says which plugins it can be (`--list-names`), and each of these names
# becomes a hard link. Every name is put in place by rename(2): a runtime that executes a plugin at the same moment
# gets the old file or the new one, whole; what runs goes on running; and whoever stops half-way leaves a directory in
# which each name works.
set -euo pipefail
executable=$1 plugins=$2 programs=$3

list=(--list-names)
if [ "${TEST_PLUGINS:-}" = 1 ]; then list+=(--test-plugins); fi
names=$("$executable" "${list[@]}")
[ -n "$names" ] || { echo "$executable names no plugins" >&2; exit 1; }
while read -r name; do
  [[ $name =~ ^[a-z0-9][a-z0-9-]*$ ]] || { echo "$executable lists a strange name: $name" >&2; exit 1; }
done <<<"$names"

mkdir -p "$plugins" "$programs"
# One installation at a time, so that left-over temporary files are known to be nobody's.
exec 9<"$plugins"
flock 9

suffix=.swift-cni-new
rm -f "$plugins"/.*"$suffix" "$programs"/.*"$suffix"

fresh=$plugins/.file$suffix
trap 'rm -f "$plugins"/.*"$suffix" "$programs"/.*"$suffix"' EXIT
cp "$executable" "$fresh"
chmod 755 "$fresh"
# The contents must be on disk before any name points to them: a power cut must not leave an empty plugin.
sync "$fresh"

while read -r name; do
  ln "$fresh" "$plugins/.$name$suffix"
  mv -fT "$plugins/.$name$suffix" "$plugins/$name"
done <<<"$names"

tool=$programs/.cnitool$suffix
if ! ln "$fresh" "$tool" 2>/dev/null; then # another file system
  cp "$executable" "$tool"
  chmod 755 "$tool"
  sync "$tool"
fi
mv -fT "$tool" "$programs/cnitool"
sync "$plugins" "$programs"

printf 'installed %s plugins in %s and %s/cnitool\n' "$(wc -l <<<"$names")" "$plugins" "$programs"
