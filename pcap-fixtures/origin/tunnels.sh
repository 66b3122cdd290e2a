#!/bin/sh
# Makes tunnels.pcap: two hosts on a link, with a tunnel of each kind that Linux has between them, and programs that talk through
# them. As root, with a kernel that has the modules; such a one is in the project's virtual machine:
#
#   cargo xtask vm --timeout 300 -- sh $PWD/pcap-fixtures/origin/tunnels.sh |
#       sed -n '/^1MOyoQ/,$p' | base64 -d > pcap-fixtures/tunnels.pcap
#
# Needs iproute2 ethtool tcpdump netcat-openbsd busybox-static (ping). The capture goes to standard output, in base64,
# behind what the programs say.
set -eu
exec 3>&1 1>&2
modprobe -a vxlan geneve ip_gre ipip sit mpls_router mpls_iptunnel

for host in a b tenant-a tenant-b; do
    ip netns add $host
    ip -n $host link set lo up
    # Without solicitations of the tunnels' ends among themselves.
    ip netns exec $host sysctl -qw net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_dad=0
done
ip link add veth0 netns a address 02:00:00:00:00:01 type veth peer name veth0 netns b address 02:00:00:00:00:02
for host in a b; do
    ip netns exec $host ethtool -K veth0 tx off tso off gso off gro off
    ip -n $host link set veth0 up
done
ip -n a address add 192.0.2.1/24 dev veth0
ip -n b address add 192.0.2.2/24 dev veth0

# NAME KIND OPTIONS… : a tunnel between the hosts, 198.51.100.1 and .2 within a /30 of its own; in {} the remote address is
# the other's, and local the own one where there is one.
number=0
tunnel() {
    name=$1
    shift
    for side in 1:2:a 2:1:b; do
        own=${side%%:*} other=${side#*:} host=${side##*:}
        other=${other%%:*}
        ip -n $host link add "$name" $(echo "$@" | sed "s/OWN/192.0.2.$own/; s/OTHER/192.0.2.$other/")
        ip -n $host address add 198.51.100.$((4 * number + own))/30 dev "$name"
        ip -n $host link set "$name" up
    done
    number=$((number + 1))
}
tunnel vxlan101 type vxlan id 101 local OWN remote OTHER dstport 4789 udpcsum
tunnel geneve7 type geneve id 7 remote OTHER
tunnel gre5 type gre local OWN remote OTHER key 5
tunnel gretap0x type gretap local OWN remote OTHER
tunnel erspan9 type erspan local OWN remote OTHER seq key 9 erspan_ver 1 erspan 12
tunnel ipip1 type ipip local OWN remote OTHER
# Another tenant with the addresses of the first tunnel.
for side in 1:2:a 2:1:b; do
    own=${side%%:*} other=${side#*:} host=${side##*:}
    other=${other%%:*}
    ip -n $host link add vxlan102 type vxlan id 102 local 192.0.2.$own remote 192.0.2.$other dstport 4789
    ip -n $host link set vxlan102 netns tenant-$host
    ip -n tenant-$host address add 198.51.100.$own/30 dev vxlan102
    ip -n tenant-$host link set vxlan102 up
    ip -n $host link add sit1 type sit local 192.0.2.$own remote 192.0.2.$other
    ip -n $host address add 2001:db8::$own/64 dev sit1
    ip -n $host link set sit1 up
    ip netns exec $host sysctl -qw net.mpls.platform_labels=1000 net.mpls.conf.veth0.input=1
    ip -n $host address add 203.0.113.$own/32 dev lo
    ip -n $host route add 203.0.113.$other/32 encap mpls 20$other/30$other via inet 192.0.2.$other src 203.0.113.$own
    ip -n $host -f mpls route add 20$own dev lo
    ip -n $host -f mpls route add 30$own dev lo
done

capture=$(mktemp)
ip netns exec a tcpdump -U -i veth0 -s 128 -w "$capture" 'not arp' &
tcpdump=$!
until [ -s "$capture" ]; do sleep 0.1; done

# A connection of a line each way, from HOST-a to HOST-b.
talk() { # PREFIX OWN OTHER
    ip netns exec "$1b" sh -c "echo b | timeout 10 nc -l -s $3 -p 8080 -q 0" &
    server=$!
    until ip netns exec "$1b" ss -ltn | grep -q ":8080 "; do sleep 0.1; done
    ip netns exec "$1a" sh -c "echo a | timeout 10 nc -q 1 -s $2 -p 40000 $3 8080"
    wait $server || true
}
for each in $(seq 0 $((number - 1))); do
    talk "" 198.51.100.$((4 * each + 1)) 198.51.100.$((4 * each + 2))
done
talk tenant- 198.51.100.1 198.51.100.2
ip netns exec a busybox ping -c 2 -W 2 2001:db8::2
ip netns exec a busybox ping -c 2 -W 2 -I 203.0.113.1 203.0.113.2 || true
sleep 1
kill $tcpdump
wait $tcpdump || true
base64 "$capture" >&3
