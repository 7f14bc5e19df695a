#!/bin/bash
# image.sh OUT BIN - makes what `make rig` boots: OUT/vmlinux, Debian's kernel, and OUT/base.cpio,
# its modules and the closures of the programs that run inside. Nothing of the kernel is installed:
# its package and udev's are fetched by apt-get and unpacked here, once for each of their versions.
set -euo pipefail
out=$1
bin=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
cd "$out"

kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ { print $2; exit }')
[ -n "$kernel" ] || { echo "rig: apt-get update first: no kernel package is known" >&2; exit 1; }
if [ ! -e "vmlinux-$kernel" ] || [ -z "$(find kernel -name nandsim.ko)" ]; then
    mkdir -p packages kernel udev
    (cd packages && apt-get -q download "$kernel" udev >/dev/null 2>&1)
    dpkg-deb --fsys-tarfile packages/"$kernel"_*.deb |
        tar -C kernel -x --wildcards './boot/vmlinuz-*' './lib/modules/*/modules.*' \
            './lib/modules/*/kernel/drivers/usb/*' './lib/modules/*/kernel/drivers/hid/*' \
            './lib/modules/*/kernel/drivers/mtd/*' './lib/modules/*/kernel/lib/bch.ko'
    dpkg-deb --fsys-tarfile packages/udev_*.deb | tar -C udev -x
    depmod -b kernel "${kernel#linux-image-}"
    # The whole kernel behind its loader: QEMU enters it directly (PVH), without unpacking under TCG.
    python3 - kernel/boot/vmlinuz-* "vmlinux-$kernel" <<'END'
import lzma, sys
image = open(sys.argv[1], "rb").read()
at = image.index(b"\xfd7zXZ\x00")
open(sys.argv[2], "wb").write(lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[at:]))
END
fi
ln -sf "vmlinux-$kernel" vmlinux

root=$(mktemp -d "$out/root.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,etc,lib64,modules,mtd,hub/capabilities}

# With every library that the programs name, where they expect it.
add() {
    cp "$1" "$root/bin/"
    ldd "$1" 2>/dev/null | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' |
        while read -r library; do
            [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"; }
        done
}
cp /bin/busybox "$root/bin/busybox"
for program in "$bin/hubd" "$bin/hubctl" udev/bin/udevadm "$(readlink -f "$(command -v adb)")" \
    "$(readlink -f "$(command -v fastboot)")" "$(command -v uhubctl)" "$(command -v lsusb)"; do
    add "$program"
done
ln -s udevadm "$root/bin/systemd-udevd"
# In the order in which they are to be loaded.
add_modules() {
    local folder=$1 i=10
    shift
    for module in "$@"; do
        modprobe -d kernel -S "${kernel#linux-image-}" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
        cp "$path" "$root/$folder/$i-$(basename "$path")"
        i=$((i + 1))
    done
}
add_modules modules xhci-pci ftdi_sio
add_modules mtd mtdram nandsim # with parameters, when run.py comes to them
cp "$here/guest.sh" "$root/init"
chmod 755 "$root/init"
echo 'root:x:0:0::/tmp:/bin/sh' > "$root/etc/passwd"
(cd "$root" && find . | cpio -o -H newc --quiet) > base.cpio
