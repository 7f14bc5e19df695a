# Compares the sizes on docs/porting.md (first file) with what `make board` has printed for both
# boards (second file): the page may lag behind by a tenth, no more.
function take(names, count,    columns, parts, names_of, i, b) {
    gsub(/,/, "")
    split($0, columns, "|")
    split(names, names_of, " ")
    for (b = 1; b <= 2; b++) {
        split(columns[2 + b], parts, "/")
        for (i = 1; i <= count; i++) page[b == 1 ? "zynq" : "mps2", names_of[i]] = parts[i] + 0
    }
}
FNR == NR && /^\| core \/ store \/ codecs/ { take("core store codecs", 3) }
FNR == NR && /^\| whole image/ { take("linked", 1) }
FNR == NR && /^\| stack: deepest chain/ { take("chain", 1) }
FNR == NR { next }
/code and constants/ { board = $2; sub(/:/, "", board); built[board, "linked"] = $7 + 0 }
/^note: [a-z0-9]+: (core|store|codecs) +code/ { board = $2; sub(/:/, "", board); built[board, $3] = $5 + 0 }
/^note: the image of/ { board = $5; sub(/:/, "", board); match($0, /chain [0-9]+/); built[board, "chain"] = substr($0, RSTART + 6, RLENGTH - 6) + 0 }
END {
    for (key in built) {
        split(key, name, SUBSEP)
        gap = built[key] - page[key]
        count += 1
        if ((gap < 0 ? -gap : gap) * 10 > built[key]) {
            printf "docs/porting.md: %s of %s is %d, it says %d\n", name[2], name[1], built[key], page[key]
            bad = 1
        }
    }
    if (count != 10) { printf "board_page.awk: %d of 10 sizes were printed\n", count; bad = 1 }
    exit bad
}
