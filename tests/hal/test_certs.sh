#!/bin/bash
# Makes the certificates of the TLS tests in build/test-certs, unless today's are there already.
#   good     server, hub-1 and hub-2, all valid          expired  the same CA, out of date
#   foreign  another CA that has the same name
set -euo pipefail
dir=build/test-certs
mkdir -p build
exec 9> "$dir.lock"
flock 9
if [[ -n $(find "$dir/done" -mtime -1 2> /dev/null) ]]; then
    exit 0
fi
rm -rf "$dir"
scripts/demo-certs.sh "$dir/good" 30 hub-1 hub-2
mkdir -p "$dir/expired"
cp "$dir"/good/ca.* "$dir/expired/"
scripts/demo-certs.sh "$dir/expired" -1 hub-1
scripts/demo-certs.sh "$dir/foreign" 30 hub-1
head -c 48 /dev/urandom > "$dir/ticket_key"
head -c 16 /dev/urandom > "$dir/short_key"
touch "$dir/done"
