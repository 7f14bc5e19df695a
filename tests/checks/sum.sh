#!/bin/bash
# sum.sh COMMAND... - runs each command and adds up the `N passed, N failed` lines that they end
# with (make may add a word of its own). One that begins with `& ` runs beside those before it. A command that dies without its line, or fails with nothing counted, is one failure.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0
declare -A beside
for command in "$@"; do
    if [[ $command == '& '* ]]; then
        output=$(mktemp)
        bash -c "${command#& }" >"$output" 2>&1 &
        beside[$command]="$! $output"
    fi
done
for command in "$@"; do
    echo "-- $command"
    if [[ -n ${beside[$command]:-} ]]; then
        read -r pid output <<<"${beside[$command]}"
        wait "$pid"
        status=$?
        tee "$log" <"$output"
        rm -f "$output"
    else
        bash -c "$command" 2>&1 | tee "$log"
        status=$?
    fi
    totals=$(tail -n 3 "$log" | grep -E '^[0-9]+ passed, [0-9]+ failed$' | tail -n 1)
    if [[ $totals =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        [ $status = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
    else
        echo "FAILED  '$command' ended without its totals (exit status $status)"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
