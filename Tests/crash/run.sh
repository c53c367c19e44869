#!/bin/sh
# run.sh [OPTION...]: builds the axe, and starts crash.py with it. PRODUCT and CC are taken from the environment.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p .build/crash
"${CC:-$(command -v clang || echo cc)}" -O2 -Wall -Wextra -Werror -static -o .build/crash/axe Tests/crash/*.c
exec python3 Tests/crash/crash.py --axe .build/crash/axe "$@"
