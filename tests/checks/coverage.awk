# Sums what `gcov -n -b` says of our own files: one line a file, then the total.
/^File / { gsub(/'/, "", $2); file = $2; next }
/^Lines executed/ { keep(line_share, line_all, $0) }
/^Taken at least once/ { keep(branch_share, branch_all, $0) }
function keep(share, all, text) {
    if (file !~ /^(firmware|protocol)\/.*\.c$/ || file in all) return # the last line is gcov's own sum
    match(text, /:[0-9.]+%/); share[file] = substr(text, RSTART + 1, RLENGTH - 2)
    match(text, /of [0-9]+/); all[file] = substr(text, RSTART + 3, RLENGTH - 3)
}
END {
    for (file in line_all) {
        printf "%-34s lines %6.1f %% of %-5d branches %6.1f %% of %d\n", file, line_share[file],
            line_all[file], branch_share[file], branch_all[file] | "sort"
        lines += line_all[file]; reached += line_share[file] * line_all[file]
        branches += branch_all[file]; taken += branch_share[file] * branch_all[file]
    }
    close("sort")
    if (lines) printf "%-34s lines %6.1f %% of %-5d branches %6.1f %% of %d\n", "all",
        reached / lines, lines, branches ? taken / branches : 100, branches
}
