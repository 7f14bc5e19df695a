# Code and data of an image by its parts, from `size` of its objects (before the linker leaves out
# what nobody calls).
$1 == "text" { next }
{
    part = $6
    sub(/^build\/[^\/]*\//, "", part)
    part = part ~ /^firmware\/store/ ? "store" : part ~ /^firmware\// ? "core" : part ~ /^protocol\// ? "codecs" : \
           part ~ /^hal\// ? "hal" : part ~ /^boards\// ? "board" : "image"
    text[part] += $1; zero[part] += $2 + $3
}
END {
    split("core store codecs hal board image", parts, " ")
    for (i = 1; i <= 6; i++) printf "note: %s: %-7s code %6d, data %7d bytes\n", BOARD, parts[i], text[parts[i]], zero[parts[i]]
}
