#!/bin/bash
# total.sh NAME... - counts the verdicts that step.sh left; a check that did not run has failed.
set -u

passed=0 failed=0
for name in "$@"; do
    if [ "$(cat "build/checks/$name" 2>/dev/null)" = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        [ -e "build/checks/$name" ] || echo "FAILED  $name (did not run: what it needs has failed)"
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
