#!/bin/bash
# mbedtls3.sh FILE...: compiles them against mbed TLS 3 as the next Debian has it, whose headers are
# fetched into build/ from the mirror that this machine is set to; nothing is installed. Where there
# is no such mirror it says so and fails.
set -eu

work=build/mbedtls3
suite=trixie
if [ ! -e $work/root/usr/include/mbedtls/version.h ]; then
    mkdir -p $work/lists/partial $work/cache/archives/partial $work/sources
    for file in /etc/apt/sources.list.d/debian.sources; do
        sed -n '/^$/q; /^URIs:\|^Types:\|^Components:\|^Signed-By:/p' "$file"
        echo "Suites: $suite"
    done >$work/sources/next.sources
    private=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/$work/sources"
        -o "Dir::State::Lists=$PWD/$work/lists" -o "Dir::Cache=$PWD/$work/cache")
    apt-get "${private[@]}" update
    (cd $work && apt-get "${private[@]}" download libmbedtls-dev && dpkg -x libmbedtls-dev_3*.deb root)
fi
version=$(echo '#include <mbedtls/version.h>
MBEDTLS_VERSION_STRING' | gcc -isystem $work/root/usr/include -E - | tail -1)
case $version in
*3.*) echo "note: mbed TLS $version" ;;
*) echo "expected mbed TLS 3, got $version"; exit 1 ;;
esac
for file in "$@"; do
    gcc -isystem $work/root/usr/include -isystem /usr/share/include/llhttp -I. -D_GNU_SOURCE -std=c11 \
        -pedantic -Wall -Wextra -Werror -Wconversion -Wsign-conversion -Wshadow -Wcast-qual \
        -O2 -c "$file" -o /dev/null
done
