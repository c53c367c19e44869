#!/bin/bash
# docs.sh DIRECTORY: the reference documentation of every library product, as DocC archives that a web server can serve as they
# are.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${SWIFT:=swift}"
directory=$1
export SWIFT_CNI_DOCS=1

libraries=$($SWIFT package describe --type json |
  python3 -c 'import json, sys
for product in json.load(sys.stdin)["products"]:
    if "library" in product["type"]: print(product["name"])')
mkdir -p "$directory"
for library in $libraries; do
  $SWIFT package --disable-sandbox --allow-writing-to-directory "$directory" generate-documentation --target "$library" \
    --output-path "$directory/$library.doccarchive" --transform-for-static-hosting \
    --hosting-base-path "$library"
  echo "$directory/$library.doccarchive"
done
