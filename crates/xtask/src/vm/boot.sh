# Second program of the machine, inside the overlay: modules, loopback, then the command. MODULES and INIT are put before this.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
command() {
    output=(/dev/vport*p1)
    : > /run/vm/started
    bash /run/vm/command > "${output[0]}" 2>&1 < /dev/null
    echo $? > /run/vm/status
    sync
    busybox poweroff -f
}
# As systemd's service: everything else is done.
[ "${1:-}" != command ] || command

mkdir -p /lib/modules /run/netns
rm -rf "/lib/modules/$(uname -r)"
ln -s "$MODULES" "/lib/modules/$(uname -r)"
[ "$INIT" = systemd ] || modprobe -a sctp sctp_diag sch_netem veth
ip link set lo up
# As udev makes it; wg-quick reads from there.
ln -s /proc/self/fd /dev/fd
for limit in rmem_max wmem_max; do echo 16777216 > /proc/sys/net/core/$limit; done
[ "$INIT" = systemd ] || command

# What runs on the host is not in its /run. Timers of the host (updates, clean-up) have nothing to do here.
mount -t tmpfs -o mode=755 run /mnt
mkdir -p /mnt/vm /mnt/netns /mnt/systemd/system
mount --move /run/vm /mnt/vm
mount --move /mnt /run
mkdir -p /run/systemd/system-generators /etc/tmpfiles.d
for generator in /lib/systemd/system-generators/*; do ln -s /dev/null "/run/systemd/system-generators/${generator##*/}"; done
ln -sf /dev/null /etc/systemd/system/timers.target
ln -sf /dev/null /etc/tmpfiles.d/tmp.conf
ln -sf /dev/null /etc/systemd/system/systemd-udev-trigger.service
rm -f /.dockerenv
cat > /run/systemd/system/vm.service << END
[Unit]
Description=The command of the virtual machine
Wants=basic.target
After=basic.target
[Service]
ExecStart=/bin/bash /run/vm/boot command
END
exec /lib/systemd/systemd --unit=vm.service
