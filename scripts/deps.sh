#!/bin/bash
# deps.sh run|test|check|board|rig|browser|package|coverage|bench - installs the Debian packages that a goal needs and that are
# missing; check, coverage and bench include test, test includes run. Says nothing when all is there.
set -u

run="gcc libc6-dev binutils libmbedtls-dev libinih-dev libjsmn-dev node-llhttp libsqlite3-dev libpq-dev
     libusb-1.0-0-dev libserialport-dev openssl bubblewrap"
test="libcmocka-dev python3 adb fastboot uhubctl sqlite3 curl perl-base libumockdev-dev umockdev pkg-config prometheus sslscan postgresql haproxy"
check="clang libclang-rt-14-dev clang-tidy clang-format cppcheck gcc-arm-none-eabi
       gcc-mips-linux-gnu libc6-dev-mips-cross qemu-user"
board="gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
rig="adb fastboot uhubctl usbutils qemu-system-x86 busybox-static libusbredirparser-dev cpio kmod"
coverage="clang-19 llvm-19 libclang-rt-19-dev"
browser="chromium fonts-dejavu-core sqlite3 umockdev libumockdev-dev"
# npm comes with Debian's package of its own; elsewhere with node itself.
command -v npm >/dev/null || browser+=" nodejs npm"
package="debhelper dpkg-dev lintian blhc mandoc man-db debootstrap systemd"
bench="gcc-arm-none-eabi valgrind redis-server beanstalkd"

case "${1:-}" in
run) wanted=$run ;;
test) wanted="$run $test $board" ;;
board) wanted=$board ;;
rig) wanted="$run $rig" ;;
check) wanted="$run $test $check $rig $browser" ;;
browser) wanted="$run $test $browser" ;;
package) wanted="$run $package openssl python3" ;;
coverage) wanted="$run $test $coverage" ;;
bench) wanted="$run $test $bench" ;;
*) echo "usage: deps.sh run|test|check|board|rig|browser|package|coverage|bench" >&2; exit 2 ;;
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
