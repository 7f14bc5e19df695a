#!/bin/bash
# embed.sh FOLDER FILE... - prints C that holds the files for host/shared/dashboard.h; their
# compressed forms are left in FOLDER. index.html is `/`, each other file `/dashboard/NAME`.
set -eu

folder=$1
shift
mkdir -p "$folder"
rows=
echo '#include "host/shared/dashboard.h"'
number=0
for file; do
    name=${file##*/}
    case $name in
    *.html) type="text/html; charset=utf-8" ;;
    *.css) type="text/css; charset=utf-8" ;;
    *.js) type="text/javascript; charset=utf-8" ;;
    *.svg) type="image/svg+xml" ;;
    *) echo "embed.sh: $file: no type is known for it" >&2; exit 1 ;;
    esac
    gzip -9nc "$file" >"$folder/$name.gz"
    tag=$(sha256sum "$file" | cut -c1-16)
    path=/dashboard/$name
    [ "$name" != index.html ] || path=/
    for one in "plain $file" "gzip $folder/$name.gz"; do
        printf '__asm__(".section .rodata\\n.global page_%s_%d\\npage_%s_%d:\\n.incbin \\"%s\\"\\n.previous\\n");\n' \
            "${one%% *}" $number "${one%% *}" $number "${one#* }"
        printf 'extern const uint8_t page_%s_%d[];\n' "${one%% *}" $number
    done
    rows+="    {\"$path\", \"$type\", \"\\\"$tag\\\"\", {page_plain_$number, $(wc -c <"$file")}, "
    rows+="{page_gzip_$number, $(wc -c <"$folder/$name.gz")}},"$'\n'
    number=$((number + 1))
done
printf 'const struct dashboard_file dashboard_files[] = {\n%s};\n' "$rows"
printf 'const size_t dashboard_file_count = %d;\n' $number
