#!/bin/sh
# require.sh PACKAGE...: installs the Debian packages that are missing; silent when none is.
set -eu

missing=
for package in "$@"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
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
  apt-get install -y -q --no-install-recommends $missing
}
echo "installing:$missing" >&2
install >/dev/null 2>&1 || { apt-get update -q >/dev/null && install >&2; }
