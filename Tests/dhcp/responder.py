#!/usr/bin/env python3
"""A DHCPv4 server that behaves as a test wants it to, which no real one does on request.

    responder.py INTERFACE BEHAVIOUR LOG

BEHAVIOUR is a file of JSON, read again for each message:

    address   what it gives                     server    its own name
    lease, t1, t2   seconds                     delay     seconds before each answer
    discover  false: no offers                  request   "ack", "nak" or "none"; "unicast" for those to it alone
    fallback  what it gives once an address was declined
    options   further options, number: hexadecimal

LOG gets a line for each message: kind, ciaddr, requested address, server identifier, broadcast or unicast.
"""

import json
import socket
import struct
import sys
import time

COOKIE = b"\x63\x82\x53\x63"
KINDS = {1: "DISCOVER", 3: "REQUEST", 4: "DECLINE", 7: "RELEASE"}
IP_PKTINFO = 8


def options_of(message):
    options, position = {}, 240
    while position + 1 < len(message) and message[position] != 255:
        if message[position] == 0:
            position += 1
            continue
        code, length = message[position], message[position + 1]
        options[code] = message[position + 2 : position + 2 + length]
        position += 2 + length
    return options


def reply(message, kind, behaviour, address):
    options = {53: bytes([kind]), 54: socket.inet_aton(behaviour["server"])}
    if kind != 6:
        lease = behaviour.get("lease", 3600)
        options |= {51: struct.pack("!I", lease), 1: socket.inet_aton("255.255.0.0")}
        for code, key in ((58, "t1"), (59, "t2")):
            if key in behaviour:
                options[code] = struct.pack("!I", behaviour[key])
        for code, value in behaviour.get("options", {}).items():
            options[int(code)] = bytes.fromhex(value)
    else:
        options[56] = b"not here"
    answer = bytearray(message[:236])
    answer[0] = 2
    answer[16:20] = socket.inet_aton("0.0.0.0" if kind == 6 else address)
    answer += COOKIE
    for code, value in options.items():
        if value:
            answer += bytes([code, len(value)]) + value
    return bytes(answer) + b"\xff"


def main():
    interface, behaviour_file, log_file = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    server.bind(("", 67))
    declined = set()
    print("ready", flush=True)
    while True:
        message, ancillary, _, _ = server.recvmsg(4096, 256)
        if len(message) < 241:
            continue
        options = options_of(message)
        kind = KINDS.get(options.get(53, b"\0")[0], "OTHER")
        destination = socket.inet_ntoa(ancillary[0][2][8:12])
        way = "broadcast" if destination == "255.255.255.255" else "unicast"
        client = socket.inet_ntoa(message[12:16])
        wanted = socket.inet_ntoa(options[50]) if 50 in options else "-"
        named = socket.inet_ntoa(options[54]) if 54 in options else "-"
        with open(log_file, "a", encoding="utf-8") as log:
            print(kind, client, wanted, named, way, file=log, flush=True)
        with open(behaviour_file, encoding="utf-8") as file:
            behaviour = json.load(file)
        if kind == "DECLINE":
            declined.add(wanted)
        address = behaviour["address"]
        if address in declined:
            address = behaviour.get("fallback", address)
        if kind == "DISCOVER" and behaviour.get("discover", True):
            answer = reply(message, 2, behaviour, address)
        elif kind == "REQUEST":
            verdict = behaviour.get("unicast" if way == "unicast" else "request", behaviour.get("request", "ack"))
            if verdict == "none":
                continue
            answer = reply(message, 6 if verdict == "nak" else 5, behaviour, address)
        else:
            continue
        time.sleep(behaviour.get("delay", 0))
        to = client if client != "0.0.0.0" and answer[242] != 6 else "255.255.255.255"
        server.sendto(answer, (to, 68))


if __name__ == "__main__":
    main()
