#!/bin/bash
# units.sh install|remove UNIT_DIRECTORY PLUGIN_DIRECTORY
#
# systemd's units of the dhcp daemon. They are put in place, and neither enabled nor started: that is the
# administrator's business. PLUGIN_DIRECTORY is the one at run time, without DESTDIR: the service starts dhcp from
# there. A unit that somebody else wrote is never removed.
set -euo pipefail
action=$1 units=$2 plugins=$3
source=$(dirname "$0")/../Packaging/systemd
mark='(swift-cni)'

case $action in
install)
  mkdir -p "$units"
  for unit in "$source"/*; do
    fresh=$units/.$(basename "$unit").swift-cni-new
    sed "s|@CNI_BIN_DIR@|$plugins|g" "$unit" >"$fresh"
    chmod 644 "$fresh"
    mv -fT "$fresh" "$units/$(basename "$unit")"
  done
  printf 'installed cni-dhcp.service and cni-dhcp.socket in %s; to use dhcp: %s\n' "$units" \
    'systemctl enable --now cni-dhcp.socket cni-dhcp.service'
  ;;
remove)
  for unit in "$source"/*; do
    file=$units/$(basename "$unit")
    if [ -f "$file" ] && grep -qF "$mark" "$file"; then rm -f "$file"; fi
  done
  ;;
*)
  echo "usage: units.sh install|remove UNIT_DIRECTORY PLUGIN_DIRECTORY" >&2
  exit 2
  ;;
esac
