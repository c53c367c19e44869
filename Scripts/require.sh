#!/bin/sh
# require.sh PACKAGE...: installs the Debian packages that are missing; silent when none is. Nothing is removed for it; a package
# that another one stands in for (containerd.io for containerd, say) is not missing.
set -eu

missing=
for package in "$@"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

provided=$(dpkg-query -W -f '${db:Status-Status},${Provides}\n' 2>/dev/null | sed -n 's/^installed,//p' |
  tr ',' '\n' | sed 's/^ *//; s/ .*//' || true)
wanted=$missing
missing=
for package in $wanted; do
  if ! printf '%s\n' "$provided" | grep -qxF "$package"; then missing="$missing $package"; fi
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "not a Debian system: these packages, or what corresponds to them, must be there:$missing" >&2
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "missing, and only root can install them: apt-get install$missing" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
install() {
  # The lists may be missing or too old to find the packages with: then, and only then, fetch them.
  # shellcheck disable=SC2086
  apt-get install -y -q --no-install-recommends --no-remove $missing
}
# A server among them is for tests, which start their own: it does not start here, neither now nor with the machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
echo "installing:$missing" >&2
install >/dev/null 2>&1 || { apt-get update -q >/dev/null && install >&2; }

command -v systemctl >/dev/null || exit 0
for package in $missing; do
  for unit in $(dpkg -L "$package" | sed -n 's|^.*/systemd/system/\([^/]*\.service\)$|\1|p'); do
    systemctl --quiet disable "$unit" 2>/dev/null || true
  done
done
