#!/bin/sh
# First program of the machine, in the initramfs: mounts the host's files under a writable overlay and goes there.
export PATH=/bin
busybox mkdir -p /proc /sys /dev /host /memory
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in /modules/*; do busybox insmod "$module"; done

p9=trans=virtio,version=9p2000.L,msize=512000
busybox mount -t 9p -o $p9,ro,cache=loose host /host || busybox poweroff -f
busybox mount -t tmpfs -o size=75% memory /memory
busybox mkdir /memory/upper /memory/work
busybox mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root || busybox poweroff -f

for folder in proc sys dev; do busybox mount --move /$folder /root/$folder; done
busybox mkdir -p /root/run/vm /root/out /root/dev/shm /root/dev/pts
busybox mount -t 9p -o $p9 control /root/run/vm || busybox poweroff -f
busybox mount -t 9p -o $p9 out /root/out
busybox mount -t tmpfs shm /root/dev/shm
busybox mount -t devpts pts /root/dev/pts
# Not chroot: what runs in one may make no user namespaces.
exec busybox switch_root /root /bin/bash /run/vm/boot
