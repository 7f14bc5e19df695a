#!/bin/bash
# step.sh NAME COMMAND... - one check: runs the command, prints `ok NAME` with its time (and its lines
# that start with `note: `) or its output and `FAILED NAME`, and leaves the verdict in build/checks/NAME.
set -u

name=$1
shift
mkdir -p build/checks
log=build/checks/$name.log
verdict=ok
"$@" >"$log" 2>&1 </dev/null || verdict=FAILED
times >"$log.times"
{
    if [ $verdict = ok ]; then
        sed -n 's/^note: /        /p' "$log"
    else
        grep -vE "^(CC|LD) |is up to date" "$log" | tail -n 80 | sed 's/^/    /'
    fi
    printf '%-7s %-11s %4d s, %d s of processors\n' $verdict "$name" $SECONDS \
        "$(awk -F'[ms ]+' 'END { print int($1 * 60 + $2 + $3 * 60 + $4) }' "$log.times")"
} >"$log.shown"
cat "$log.shown"
echo $verdict >"build/checks/$name"
[ $verdict = ok ]
