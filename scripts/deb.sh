#!/bin/bash
# deb.sh OUT [VERSION] - builds the Debian packages from this tree's files into OUT, in a copy of
# the tree; VERSION stands in for the changelog's (the upgrade's test). The compiler's lines are
# in OUT/build.log.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "$1" && cd "$1" && pwd)
rm -rf "$out"/*
tree=$out/tree/hubd
mkdir -p "$tree"
# What git knows or would add; a package's own source has no git, and then it is everything.
if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
else
    find . -path ./build -prune -o -type f -print0
fi | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
done | tar -c --null -T - | tar -x -C "$tree"
if [ -n "${2:-}" ]; then
    sed -i "1s/([^)]*)/($2)/" "$tree/debian/changelog"
fi
cd "$tree"
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
export SOURCE_DATE_EPOCH LC_ALL=C.UTF-8 TZ=UTC
unset MAKEFLAGS MAKELEVEL
if ! DEB_BUILD_OPTIONS=parallel=2 dpkg-buildpackage --build=binary -us -uc >"$out/build.log" 2>&1 </dev/null; then
    tail -n 40 "$out/build.log" >&2
    exit 1
fi
mv "$out"/tree/*.deb "$out"/tree/*.changes "$out"/tree/*.buildinfo "$out/"
mv "$tree/build" "$out/objects"
rm -rf "$out/tree"
