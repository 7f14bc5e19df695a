#!/bin/bash
# deps.sh run|test|check|bench - installs the Debian packages that a goal needs and that are
# missing; check and bench include test, test includes run. Says nothing when all is there.
set -u

run="gcc libc6-dev binutils libmbedtls-dev libinih-dev libjsmn-dev node-llhttp libsqlite3-dev
     libusb-1.0-0-dev openssl bubblewrap"
test="libcmocka-dev python3 adb sqlite3 curl perl-base libumockdev-dev umockdev pkg-config prometheus"
check="clang libclang-rt-14-dev clang-tidy clang-format cppcheck gcc-arm-none-eabi
       gcc-mips-linux-gnu libc6-dev-mips-cross qemu-user"
bench="gcc-arm-none-eabi valgrind redis-server beanstalkd postgresql"

case "${1:-}" in
run) wanted=$run ;;
test) wanted="$run $test" ;;
check) wanted="$run $test $check" ;;
bench) wanted="$run $test $bench" ;;
*) echo "usage: deps.sh run|test|check|bench" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    exit 0 # not a Debian: whoever builds here brings the libraries
fi

# One at a time: two goals of one make, or two checkouts, may both lack something. What the other
# one has brought meanwhile is there.
if command -v flock >/dev/null && [ -z "${DEPS_LOCKED:-}" ]; then
    DEPS_LOCKED=1 exec flock "${TMPDIR:-/tmp}/hubd-deps.lock" bash "$0" "$1"
fi

missing=
have=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package} ' $wanted 2>/dev/null) "
for package in $wanted; do
    [[ $have == *" ii  $package "* || $have == *" ii $package "* ]] || missing+=" $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || { echo "deps: please install as root:$missing" >&2; exit 1; }
fi
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600"
echo "deps: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $apt update && $apt install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "deps: could not install$missing" >&2
    exit 1
fi
