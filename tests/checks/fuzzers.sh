#!/bin/bash
# fuzzers.sh - no fuzzer without a small corpus, and no header of a parser without a fuzzer.
#
# A parser is what answers MALFORMED to bytes from outside: every such header of the tree is
# included by a fuzzer, or stands below with the reason why not.
set -u

not_fuzzed="
firmware/hub.h                     what it answers MALFORMED to is told by labels_fuzz and by callers that parsed it
hal/net.h                          an interface
hal/linux/tcp.h                    addresses of the configuration
hal/linux/tls_config.h             certificates: mbed TLS parses them, its makers fuzz it
hal/linux/tls_identity.h           certificates and requests: mbed TLS parses them
hal/linux/tls_mbedtls.h            TLS: mbed TLS parses it
host/hubctl/client.h               http_client_fuzz and json_fuzz are what it is made of
host/hubd/notifier.h               callback URLs: host/callback_test
host/hubd/phones/fastboot_link.h   fastboot_fuzz is what it is made of
host/hubd/phones/phone_operation.h adb_fuzz, adb_file and adb_shell are what it is made of
host/hubd/phones/phones.h          slots of the configuration
host/shared/action.h             rules over a phone's output: host/action_test
host/hubd/run/flash_image.h        sparse_fuzz is what it is made of
host/hubd/run/flash_manifest.h     files that an operator laid down: host/flash_manifest_test
host/phonesim/phone_fault.h        an option of the command line
host/phonesim/phone_session.h      the emulated phone: it parses with protocol/ only
host/phonesim/phone_sync.h         the emulated phone: it parses with protocol/ only
host/shared/callback.h             URLs: host/callback_test
host/shared/json_check.h           private to json.c
host/upstreamd/fleet/order.h       what it answers MALFORMED to is a text too long, of a body that json_fuzz parses
protocol/adb_flow.h                private to adb_connection.c
"

status=0
wrong() {
    echo "$*"
    status=1
}

for fuzzer in tests/fuzz/*_fuzz.c; do
    name=$(basename "$fuzzer" _fuzz.c)
    [ -n "$(ls "tests/fuzz/corpus/$name" 2>/dev/null)" ] || wrong "$fuzzer: no tests/fuzz/corpus/$name"
done
for corpus in tests/fuzz/corpus/*/; do
    name=$(basename "$corpus")
    [ -e "tests/fuzz/${name}_fuzz.c" ] || wrong "$corpus: no tests/fuzz/${name}_fuzz.c"
done
while read -r large; do
    wrong "$large: larger than 4 KiB"
done < <(find tests/fuzz/corpus -type f -size +4096c)

fuzzed=$(cat tests/fuzz/*_fuzz.c | sed -n 's/^#include "\(.*\)"/\1/p' | sort -u)
for header in $(grep -lw MALFORMED -r firmware protocol hal host --include='*.h' | sort); do
    is_listed=$(grep -c "^$header " <<<"$not_fuzzed")
    is_fuzzed=$(grep -cx "$header" <<<"$fuzzed")
    if [ $((is_listed + is_fuzzed)) = 0 ]; then
        wrong "$header: parses, and no tests/fuzz/*_fuzz.c includes it"
    elif [ "$is_listed" = 1 ] && [ "$is_fuzzed" = 1 ]; then
        wrong "$header: is fuzzed now; take it off the list in tests/checks/fuzzers.sh"
    fi
done
while read -r header _; do
    [ -z "$header" ] || grep -qw MALFORMED "$header" || wrong "$header: is listed in tests/checks/fuzzers.sh for nothing"
done <<<"$not_fuzzed"
echo "note: $(ls tests/fuzz/*_fuzz.c | wc -l) fuzzers, each with a corpus"
exit $status
