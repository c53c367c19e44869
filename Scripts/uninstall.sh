#!/bin/bash
# uninstall.sh PLUGIN_DIRECTORY PROGRAM_DIRECTORY
#
# Removes cnitool, and the plugins that are the same file: other plugins in the directory are other people's.
set -euo pipefail
plugins=$1 programs=$2
tool=$programs/cnitool

[ -e "$tool" ] || { echo "no $tool: nothing to go by, nothing removed" >&2; exit 1; }
removed=0
for file in "$plugins"/*; do
  if [ ! -f "$file" ] || [ -L "$file" ]; then continue; fi
  if [ "$file" -ef "$tool" ] || cmp -s "$file" "$tool"; then
    rm -f "$file"
    removed=$((removed + 1))
  fi
done
rm -f "$tool"
printf 'removed %s plugins from %s and %s\n' "$removed" "$plugins" "$tool"
