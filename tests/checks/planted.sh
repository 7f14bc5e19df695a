#!/bin/bash
# planted.sh [TEXT] - breaks every rule once, in a copy of the tree, and shows that its check sees it.
# Prints `caught WHAT by CHECK` or `MISSED WHAT by CHECK`; with TEXT only the violations that contain
# it. The last line counts.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL # every make here is one of its own

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp -p --parents -t "$copy" 2>/dev/null
cp -a build "$copy" 2>/dev/null # what is built already need not be built again
only=${1:-}
cd "$copy" || exit 2
git init -q . && git add -A && git -c user.name=planted -c user.email=planted@localhost commit -qm copy
caught=0 missed=0

# Takes the planted files out again, and what was made of them.
clear_away() {
    git ls-files --others --exclude-standard | sed 's/\.[ch]$//' | while read -r file; do
        rm -f "$file".[ch] build/*/"$file".*
    done
    git checkout -q .
}

# seen_by CHECK WHAT: runs that check alone; it has to fail, and for the planted reason.
seen_by() {
    if make -k "check-$1" >planted.log 2>&1; then
        echo "MISSED  $2 by $1"
        missed=$((missed + 1))
    elif ! cat planted.log "build/checks/$1.log" | grep -v "^ *\(CC\|LD\) " | grep -q planted; then
        echo "MISSED  $2 by $1, which failed for another reason:"
        tail -n 20 planted.log | sed 's/^/    /'
        missed=$((missed + 1))
    else
        echo "caught  $2 by $1"
        caught=$((caught + 1))
    fi
}

# plant CHECK WHAT FILE: the file's text comes on stdin.
plant() {
    local text
    text=$(cat)
    [[ "$2" == *"$only"* ]] || return
    mkdir -p "$(dirname "$3")"
    printf '%s\n' "$text" >"$3"
    seen_by "$1" "$2"
    clear_away
}

# a_test BODY: a suite protocol/planted with one test.
a_test() {
    mkdir -p tests/protocol
    cat >tests/protocol/planted_test.c <<END
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void planted(void **state) {
    (void)state;
$1
}

int protocol_planted_tests(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(planted)};
    return cmocka_run_group_tests_name("protocol/planted", tests, NULL, NULL);
}
END
    echo 'SUITE(protocol_planted)' >>tests/suites.def
}

plant symbols "malloc in firmware" firmware/planted.c <<'END'
#include <stddef.h>
void *malloc(size_t size);
void *planted(size_t size);
void *planted(size_t size) {
    return malloc(size);
}
END
plant layers "stdio in protocol" protocol/planted.c <<'END'
#include <stdio.h>
void planted(void);
void planted(void) {
    (void)puts("planted");
}
END
plant symbols "stdio called in protocol" protocol/planted.c <<'END'
int puts(const char *text);
void planted(void);
void planted(void) {
    (void)puts("planted");
}
END
plant arm-symbols "an operating system called in firmware on the Cortex-M4" firmware/planted.c <<'END'
long time(long *now);
long planted(void);
long planted(void) {
    return time((long *)0);
}
END
plant no-malloc "fopen in host/hubd" host/hubd/planted.c <<'END'
#include <stdio.h>
FILE *planted(void);
FILE *planted(void) {
    return fopen("planted", "re");
}
END
plant no-malloc "strdup in hal/linux" hal/linux/planted.c <<'END'
#include <string.h>
char *planted(const char *text);
char *planted(const char *text) {
    return strdup(text);
}
END
plant layers "protocol including a hal interface" protocol/planted.c <<'END'
#include "hal/net.h"
int planted(void);
int planted(void) {
    return 0;
}
END
plant layers "hal/linux including firmware" hal/linux/planted.c <<'END'
#include "firmware/store.h"
int planted(void);
int planted(void) {
    return 0;
}
END
plant layers "firmware including host" firmware/planted.c <<'END'
#include "host/shared/loop.h"
int planted(void);
int planted(void) {
    return 0;
}
END
plant stack "recursion in firmware" firmware/planted.c <<'END'
unsigned planted(unsigned n);
static __attribute__((noinline)) unsigned other(unsigned n) {
    return n == 0 ? 1 : planted(n - 1) ^ 3U;
}
unsigned planted(unsigned n) {
    return other(n) + n;
}
END
plant arm-stack "a frame of 600 bytes in firmware" firmware/planted.c <<'END'
#include <string.h>
int planted(const void *text, unsigned at);
int planted(const void *text, unsigned at) {
    char copy[600];
    memcpy(copy, text, sizeof copy);
    return copy[at];
}
END
plant stack "recursion in host/hubd" host/hubd/planted.c <<'END'
unsigned planted(unsigned n);
unsigned planted(unsigned n) {
    return n < 2 ? n : planted(n - 1) + planted(n - 2);
}
END
plant gcc "a warning (sign conversion)" protocol/planted.c <<'END'
unsigned planted(int n);
unsigned planted(int n) {
    return n;
}
END
plant clang "a warning that only clang has (unreachable code)" protocol/planted.c <<'END'
int planted(int n);
int planted(int n) {
    return n;
    n++;
    return n;
}
END
plant arm "stdio.h in the core for the Cortex-M4" protocol/planted.c <<'END'
#include <stdio.h>
void planted(void);
void planted(void) {
}
END
plant tidy "a clang-tidy finding (braces)" host/shared/planted.c <<'END'
int planted(int n);
int planted(int n) {
    if (n > 3)
        return 4;
    return n;
}
END
plant cppcheck "a cppcheck finding (array index)" protocol/planted.c <<'END'
int planted(void);
int planted(void) {
    int list[4] = {0, 1, 2, 3};
    return list[4];
}
END
plant analyzer "a leak of a handle (gcc -fanalyzer)" host/shared/planted.c <<'END'
#include <stdio.h>
int planted(const char *path);
int planted(const char *path) {
    FILE *file = fopen(path, "re");
    return file == NULL ? -1 : fgetc(file);
}
END
plant format "a badly formatted line" protocol/planted.c <<'END'
int planted (int  n);
END

if [[ "a use after scope"* == *"$only"* ]]; then
    a_test '    volatile char *at = NULL;
    {
        volatile char inner[8] = {1};
        at = inner;
    }
    assert_int_equal(*at, *at);'
    make SAN=address unit >planted.log 2>&1
    if build/gcc-address/bin/unit planted 2>&1 | grep -q use-after-scope; then
        echo "caught  a use after scope by ASan in make test"
        caught=$((caught + 1))
    else
        echo "MISSED  a use after scope by ASan in make test"
        tail -n 20 planted.log
        missed=$((missed + 1))
    fi
    clear_away
fi
if [[ "a wrong test, a hang and a byte-order bug"* == *"$only"* ]]; then
    a_test '    uint8_t bytes[2] = {0x12, 0x34};
    uint16_t value = 0;
    memcpy(&value, bytes, 2);
    assert_int_equal(value, 0x3412);'
    make unit >planted.log 2>&1
    build/bin/unit planted >/dev/null 2>&1 || echo "the byte-order bug shows on this machine, too"
    seen_by mips "a byte-order bug"
    clear_away
    a_test '    for (volatile int forever = 1; forever;) {
    }'
    make unit >planted.log 2>&1
    if TEST_SECONDS=1 build/bin/unit planted 2>&1 | grep -q 'not finished after 1 s'; then
        echo "caught  a hang by the unit runner"
        caught=$((caught + 1))
    else
        echo "MISSED  a hang by the unit runner"
        missed=$((missed + 1))
    fi
    clear_away
fi

echo "$caught passed, $missed failed"
[ $missed = 0 ]
