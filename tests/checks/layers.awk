# Who includes what, from the compiler's own dependency files (*.d). Arrows point down only:
#   protocol    -> protocol, hal/base.h, hal/status.def
#   firmware    -> protocol, hal/*.h, boards            boards      -> hal/*.h, protocol
#   hal/<impl>  -> hal/*.h, boards                      host/<prog> -> all of these, host/shared
#   image       -> protocol, firmware, hal/baremetal, boards
# nothing -> tests. Of system headers (read from the sources of protocol/ and firmware/, *.c *.h)
# the core has the freestanding ones, <string.h> and the compiler's processor intrinsics.
BEGIN { FREESTANDING = "^<(stdint|stddef|stdbool|stdalign|stdnoreturn|limits|string|cpuid|nmmintrin|immintrin)\\.h>$" }
FILENAME ~ /\.[ch]$/ {
    if ($1 == "#include" && $2 ~ /^</ && $2 !~ FREESTANDING) refuse(FILENAME, $2)
    next
}
{ for (i = 1; i <= NF; i++) if ($i ~ /\.(c|h|def)$/ && $i !~ /^\//) see($i) }
function see(path) {
    if (path ~ /\.c$/) { source = path; split(path, part, "/"); folder = part[1]
        own = "^" folder "/" (folder == "hal" || folder == "host" ? part[2] "/" : "") }
    else if (!may(path)) refuse(source, path)
}
function may(path) {
    if (path ~ own || path == "hal/base.h" || path == "hal/status.def") return 1
    if (folder == "protocol") return 0
    if (path ~ /^hal\/[^\/]+$/) return 1
    if (folder != "boards" && path ~ /^boards\//) return 1
    if (folder == "firmware" || folder == "boards") return path ~ /^protocol\//
    if (folder == "image") return path ~ /^(protocol|firmware|hal\/baremetal)\//
    if (folder == "host") return path ~ /^(protocol|firmware|host\/shared)\// || path ~ /^hal\//
    return 0
}
function refuse(from, to) { print from " may not include " to; bad = 1 }
END { exit bad }
