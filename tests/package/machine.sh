#!/bin/bash
# machine.sh BASE WORK - run by unshare as the first process of its own mount, pid, network, ipc,
# uts and cgroup namespace: becomes systemd on an overlay of the Debian folder BASE; what is
# changed is in WORK. WORK/debs is /debs inside.
set -e
base=$1 work=$2
root=$work/root
mkdir -p "$root" "$work/upper" "$work/scratch" "$work/debs"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/scratch" "$root"
mkdir -p "$root/debs"
mount --bind "$work/debs" "$root/debs"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i container=lxc PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=journal
