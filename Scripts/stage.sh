#!/bin/bash
# stage.sh EXECUTABLE TARGET: a stripped copy, replaced by rename so that a running one is never touched.
set -eu
executable=$1 target=$2

if [[ $target -nt $executable ]]; then exit 0; fi
mkdir -p "$(dirname "$target")"
strip -o "$target.new" "$executable"
chmod 755 "$target.new"
mv -f "$target.new" "$target"
printf '%s: %s bytes, static, stripped\n' "$target" "$(stat -c %s "$target")"
