#!/bin/bash
# symbols.sh only|never 'NAME...' NM OBJECT... - what the objects call outside of themselves:
# `only` fails on a name that is none of the names (regular expressions), `never` on one that is.
set -u
shopt -s extglob

mode=$1 names=${2//+( )/|} nm=$3
shift 3
[ $# -gt 0 ] || { echo "no objects"; exit 1; }
# nm -A prints "file:address type name"; an undefined name has no address.
"$nm" -A "$@" | awk -v mode="$mode" -v names="^($names)$" '
    $(NF - 1) == "U" { file = $1; sub(/:.*/, "", file); wanted[$NF] = wanted[$NF] " " file; next }
    { have[$NF] }
    END {
        for (name in wanted) {
            matches = name ~ names
            if (mode == "only" ? !(name in have) && !matches : matches) {
                print name " is called by" wanted[name]; bad = 1
            }
        }
        exit bad
    }'
