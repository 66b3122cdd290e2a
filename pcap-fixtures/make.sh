#!/usr/bin/env bash
# Makes the captures of this folder again: real programs in two network namespaces of its own.
# Needs root and: iproute2 ethtool tcpdump wireshark-common (dumpcap) curl iputils-ping dnsmasq-base
# bind9-dnsutils python3. Usage: pcap-fixtures/make.sh [NAME ...]  (http dns ipv6 vlan mixed demo; default all)
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C

A="fp-client-$$" B="fp-server-$$"
WORK=$(mktemp -d)
PIDS=()
client() { ip netns exec "$A" "$@"; }
server() { ip netns exec "$B" "$@"; }
# What is ended by its process id is started without them: their & would give the id of a shell.

finish() {
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    ip netns del "$A" 2>/dev/null || true
    ip netns del "$B" 2>/dev/null || true
    rm -rf "$WORK"
}
trap finish EXIT

# Waits until a command succeeds, for at most 10 s.
await() {
    for _ in $(seq 100); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "make.sh: gave up waiting for: $*" >&2
    return 1
}

network() {
    ip netns add "$A"
    ip netns add "$B"
    ip link add veth0 netns "$A" address 02:00:00:00:00:01 type veth \
        peer name veth0 netns "$B" address 02:00:00:00:00:02
    for side in "$A" "$B"; do
        # What one sees should be what a wire would carry: no giant segments, no missing checksums.
        ip netns exec "$side" ethtool -K veth0 tso off gso off gro off tx off >/dev/null 2>&1
        ip -n "$side" link set lo up
        ip -n "$side" link set veth0 up
    done
    ip -n "$A" address add 192.0.2.1/24 dev veth0
    ip -n "$B" address add 192.0.2.2/24 dev veth0
    ip -n "$A" address add 2001:db8::1/64 dev veth0 nodad
    ip -n "$B" address add 2001:db8::2/64 dev veth0 nodad
    await client ping -c 1 -W 1 192.0.2.2
    await client ping -c 1 -W 1 2001:db8::2
}

http_server() { # ADDRESS
    ip netns exec "$B" python3 origin/server.py "$1" 80 &
    PIDS+=($!)
    await server curl -s -g -o /dev/null "http://$(bracketed "$1")/page/1"
}

dns_server() {
    ip netns exec "$B" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --port=53 --bind-interfaces \
        --listen-address=192.0.2.2 --listen-address=2001:db8::2 --user=root --pid-file= \
        --address=/web.example/192.0.2.2 --address=/web.example/2001:db8::2 \
        --txt-record=long.example,"$(printf 'x%.0s' {1..200})" --mx-host=mail.example,web.example,10 \
        >/dev/null 2>&1 &
    PIDS+=($!)
    await client dig +time=1 +tries=1 @192.0.2.2 web.example
}

bracketed() { case "$1" in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }
get() { client curl -s -g -o /dev/null --max-time 60 "http://$(bracketed "$1")/$2"; }

# Captures on the client's interface while a function runs: capture FILE SNAPLEN FUNCTION [FILTER …]
capture() {
    local file=$1 snaplen=$2 traffic=$3
    shift 3
    # Neighbours must be resolved on the capture, not before.
    ip -n "$A" neigh flush dev veth0
    ip netns exec "$A" tcpdump -i veth0 -s "$snaplen" -w "$WORK/$file" -Z root --immediate-mode -U "$@" 2>"$WORK/tcpdump.log" &
    local pid=$!
    PIDS+=("$pid")
    await grep -q 'listening on' "$WORK/tcpdump.log"
    "$traffic"
    sleep 0.5
    kill -TERM "$pid"
    wait "$pid" || true
    mv "$WORK/$file" "$file"
    echo "$file: $(stat -c %s "$file") octets"
}

http_traffic() {
    get 192.0.2.2 trickle/5 & local a=$!
    get 192.0.2.2 stall/3 & local b=$!
    client curl -s -o /dev/null --limit-rate 12k http://192.0.2.2/page/40000 & local c=$!
    for size in 100 1000 3000 6000; do get 192.0.2.2 "page/$size"; done
    client curl -s -o /dev/null http://192.0.2.2/page/200 -o /dev/null http://192.0.2.2/page/300 -o /dev/null http://192.0.2.2/none
    client curl -s -o /dev/null http://192.0.2.2:81/ || true
    sleep 2
    get 192.0.2.2 page/500
    wait $a $b $c
}

dns_traffic() {
    for name in web.example long.example mail.example; do
        for type in A AAAA TXT MX; do client dig +time=1 +tries=1 @192.0.2.2 "$name" "$type" >/dev/null || true; done
    done
    client dig +tcp +time=1 +tries=1 @192.0.2.2 long.example TXT >/dev/null
    client dig +tcp +time=1 +tries=1 @2001:db8::2 web.example AAAA >/dev/null
    client dig +time=1 +tries=1 @2001:db8::2 web.example A >/dev/null
    # From one port, with 1.2 s between: longer than the idle time-out of the goldens.
    for _ in 1 2 3; do
        client dig +time=1 +tries=1 -b 192.0.2.1#40053 @192.0.2.2 web.example A >/dev/null
        sleep 1.2
    done
    # Nobody listens there: port unreachable.
    client dig +time=1 +tries=1 -p 54 @192.0.2.2 web.example >/dev/null || true
}

ipv6_traffic() {
    client ping -6 -q -c 6 -i 0.5 2001:db8::2 >/dev/null & local a=$!
    # Too long for one frame: fragments.
    client ping -6 -q -c 2 -i 1 -s 3000 2001:db8::2 >/dev/null & local b=$!
    client ping -4 -q -c 2 -i 1 -s 3000 192.0.2.2 >/dev/null & local c=$!
    get 2001:db8::2 trickle/3 & local d=$!
    for size in 100 2000; do get 2001:db8::2 "page/$size"; done
    client curl -s -g -o /dev/null "http://[2001:db8::2]:81/" || true
    wait $a $b $c $d
}

# 198.51.100.0/24 is tagged with 42; 203.0.113.0/24 with 7, within 100 of 802.1ad.
vlans() {
    local side last pid
    for side in "$A" "$B"; do
        last=1
        if [ "$side" = "$B" ]; then last=2; fi
        for vlan in "vlan42 198.51.100 8100:42" "vlan7 203.0.113 88a8:100 8100:7"; do
            read -r name net tags <<<"$vlan"
            # shellcheck disable=SC2086
            ip netns exec "$side" python3 origin/tagger.py "$name" veth0 $tags >"$WORK/$side-$name" &
            pid=$!
            PIDS+=("$pid")
            await grep -q ready "$WORK/$side-$name"
            ip -n "$side" link set "$name" mtu 1400 up
            ip -n "$side" address add "$net.$last/24" dev "$name"
        done
    done
    await client ping -c 1 -W 1 198.51.100.2
    await client ping -c 1 -W 1 203.0.113.2
}

vlan_traffic() {
    get 198.51.100.2 trickle/2 & local a=$!
    for address in 192.0.2.2 198.51.100.2 203.0.113.2; do
        client ping -q -c 2 -i 0.2 "$address" >/dev/null
        get "$address" page/3000
    done
    wait $a
}

mixed_traffic() {
    get 192.0.2.2 page/5000
    get 2001:db8::2 page/500
    get 198.51.100.2 page/500
    client ping -q -c 2 -i 0.2 192.0.2.2 >/dev/null
    client dig +time=1 +tries=1 @192.0.2.2 web.example >/dev/null
}

# dumpcap writes pcapng with two interfaces, nanoseconds, and blocks that a meter passes over.
mixed() {
    ip netns exec "$A" dumpcap -q -i veth0 -s 128 -i vlan42 -s 128 -w "$WORK/mixed.pcapng" \
        --capture-comment "flowpool fixture" 2>"$WORK/dumpcap.log" &
    local pid=$!
    PIDS+=("$pid")
    await grep -q '^File: ' "$WORK/dumpcap.log"
    sleep 0.5
    mixed_traffic
    sleep 1
    kill -TERM "$pid"
    wait "$pid" || true
    mv "$WORK/mixed.pcapng" mixed.pcapng
    echo "mixed.pcapng: $(stat -c %s mixed.pcapng) octets"
}

demo_traffic() {
    local second number pids=()
    for number in 1 2 3; do
        get 192.0.2.2 trickle/12 & pids+=($!)
        get 2001:db8::2 trickle/12 & pids+=($!)
    done
    get 192.0.2.2 stall/3 & pids+=($!)
    client ping -q -c 12 192.0.2.2 >/dev/null & pids+=($!)
    client ping -6 -q -c 12 2001:db8::2 >/dev/null & pids+=($!)
    for second in $(seq 12); do
        {
            for number in $(seq 14); do echo "host-$second-$number.web.example A"; done
            for number in $(seq 3); do echo "host-$second-$number.web.example AAAA"; done
        } >"$WORK/queries-$second"
        client dig +time=1 +tries=1 @192.0.2.2 -f "$WORK/queries-$second" >/dev/null & pids+=($!)
        client dig +time=1 +tries=1 @2001:db8::2 -f "$WORK/queries-$second" >/dev/null & pids+=($!)
        get 192.0.2.2 "page/$((second * 200))" & pids+=($!)
        get 2001:db8::2 "page/$((second * 100))" & pids+=($!)
        sleep 1
    done
    wait "${pids[@]}"
}

network
dns_server
vlans
for address in 192.0.2.2 2001:db8::2 198.51.100.2 203.0.113.2; do http_server "$address"; done
untagged='not vlan and not ether proto 0x88a8'
for name in "${@:-http dns ipv6 vlan mixed demo}"; do
    for each in $name; do
        case "$each" in
        http) capture http.pcap 128 http_traffic "tcp and $untagged" ;;
        dns) capture dns.pcap 512 dns_traffic "(port 53 or port 54 or icmp) and $untagged" ;;
        ipv6) capture ipv6.pcap 160 ipv6_traffic "$untagged" ;;
        vlan) capture vlan.pcap 128 vlan_traffic ;;
        mixed) mixed ;;
        demo) capture demo.pcap 74 demo_traffic "(ip or ip6) and $untagged" ;;
        *) echo "make.sh: unknown capture $each" >&2; exit 2 ;;
        esac
    done
done
