# Second program of the machine, inside the overlay: modules, loopback, then the command. MODULES is put before this.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /lib/modules /run/netns
rm -rf "/lib/modules/$(uname -r)"
ln -s "$MODULES" "/lib/modules/$(uname -r)"
modprobe -a sctp sctp_diag sch_netem veth
ip link set lo up
# As udev makes it; wg-quick reads from there.
ln -s /proc/self/fd /dev/fd
for limit in rmem_max wmem_max; do echo 16777216 > /proc/sys/net/core/$limit; done

output=(/dev/vport*p1)
: > /run/vm/started
bash /run/vm/command > "${output[0]}" 2>&1 < /dev/null
echo $? > /run/vm/status
sync
busybox poweroff -f
