"""A VLAN interface for kernels without 8021q: tagger.py TAP LINK TPID:ID [TPID:ID]

Frames that a program sends through the new interface TAP leave on LINK with the tags, outermost first;
frames that come on LINK with exactly these tags go to TAP without them.
"""

import contextlib
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6

name, link = sys.argv[1:3]
tags = b"".join(
    struct.pack("!HH", int(tpid, 16), int(identifier))
    for tpid, identifier in (tag.split(":") for tag in sys.argv[3:])
)

tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
wire.bind((link, 0))


def from_wire():
    """Returns the next frame with the tag that the kernel took out of it, None for our own."""
    frame, control, _, address = wire.recvmsg(65536, 64)
    if address[2] == PACKET_OUTGOING:
        return None
    for level, kind, data in control:
        if (level, kind) != (SOL_PACKET, PACKET_AUXDATA):
            continue
        status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
        if status & TP_STATUS_VLAN_VALID:
            if not status & TP_STATUS_VLAN_TPID_VALID:
                tpid = 0x8100
            frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


print("ready", flush=True)
while True:
    ready, _, _ = select.select([tap, wire], [], [])
    if tap in ready:
        frame = os.read(tap, 65536)
        wire.send(frame[:12] + tags + frame[12:])
    if wire in ready:
        frame = from_wire()
        if frame and frame[12 : 12 + len(tags)] == tags:
            inner = frame[:12] + frame[12 + len(tags) :]
            if inner[12:14] not in (b"\x81\x00", b"\x88\xa8"):
                # An interface that is not up yet refuses; a wire would lose the frame as well.
                with contextlib.suppress(OSError):
                    os.write(tap, inner)
