#!/bin/busybox sh
# The first and only process of the rig's machine: it starts what USB needs, then runs the lines
# that come on the second serial line, each answered by its output and `RIG END STATUS`.
/bin/busybox mkdir -p /bin /usr/bin /usr/sbin /root
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -s /proc/self/fd /dev/fd
for module in /modules/*; do
    insmod "$module"
done
ip link set lo up
systemd-udevd --daemon # libusb hears of devices from it; no rule files, so it changes nothing
exec </dev/ttyS1 >/dev/ttyS1 2>&1
stty raw -echo
echo "RIG READY $(cut -d' ' -f1 /proc/uptime)"
while IFS= read -r line; do
    eval "$line"
    echo "RIG END $?"
done
