"""What is in a network namespace and in the directories of state, read in a few milliseconds without starting a program.

Links, addresses, routes, rules and qdiscs come from netlink itself: what is asked thousands of times is not asked through
`ip`. Of the packet filter only the list of tables does; where there are any, `nft` tells the whole rule set.
"""

import hashlib
import os
import socket
import struct
import subprocess
from pathlib import Path

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
DELLINK, GETLINK, GETADDR, GETROUTE, GETRULE, GETQDISC = 17, 18, 22, 26, 34, 38
GETTABLE = 10 << 8 | 1
DUMP_REQUEST = 0x301
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
# Whoever has come this far wants what host-local keeps for the next container, and the locks.
KEPT_FILES = ("lock", "last_reserved_ip.")
# One for each kind of state, and for each network: no more than an administrator has set up.
KEPT_DIRECTORIES = (
    "/run/cni/tuning", "/var/lib/cni/results", "/var/lib/cni/firewall", "/var/lib/cni/networks",
    "/var/lib/cni/networks/chain",
    "/var/lib/cni/networks/.owners", "/var/lib/cni/networks/.owners/chain",
)  # fmt: skip
# A host that has had a container goes on forwarding: it may have had reasons of its own. Whoever forwards follows no
# redirects, says the kernel.
FORWARDING = ("forwarding", "mc_forwarding", "accept_redirects")


# A kernel that does not answer is no reason to wait for ever; on a busy machine it takes its time.
TIME_LIMIT = 100


class Interrupted(Exception):
    """The table changed while it was read."""


def dump_once(protocol, kind, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as netlink:
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        netlink.settimeout(TIME_LIMIT)
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, DUMP_REQUEST, 1, 0) + body)
        messages = []
        while True:
            data = netlink.recv(1 << 18)
            offset = 0
            while offset < len(data):
                length, answer, flags, _, _ = struct.unpack_from("=IHHII", data, offset)
                if flags & 0x10:
                    raise Interrupted
                if answer == 3:
                    return messages
                if answer == 2:
                    code = -struct.unpack_from("=i", data, offset + 16)[0]
                    raise OSError(code, os.strerror(code))
                messages.append(data[offset + 16 : offset + length])
                offset += (length + 3) & ~3


def dump(protocol, kind, body):
    while True:
        try:
            return dump_once(protocol, kind, body)
        except Interrupted:
            dump.interrupted += 1


dump.interrupted = 0


def attributes(data, offset):
    found = {}
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def text(value):
    return value.rstrip(b"\0").decode(errors="replace")


def number(value):
    return int.from_bytes(value[:4], "little" if struct.pack("=H", 1)[0] else "big")


def address(family, value):
    if value is None or family not in (socket.AF_INET, socket.AF_INET6):
        return "-"
    return socket.inet_ntop(family, value)


def is_of_the_link(family, prefix):
    """Comes and goes with the link, at moments of the kernel's choice."""
    return family == socket.AF_INET6 and prefix.startswith(("fe80:", "ff00:"))


def network(names):
    """Links, addresses, routes, rules and qdiscs of the calling thread's namespace; `names` gets the links' indices."""
    links = []
    for message in dump(NETLINK_ROUTE, GETLINK, bytes(16)):
        index, flags = struct.unpack_from("=iI", message, 4)
        found = attributes(message, 16)
        names[index] = text(found[3])
        kind = attributes(found.get(18, b""), 0).get(1, b"")
        links.append((names[index], text(kind), flags & 1, number(found.get(10, bytes(4))), number(found[4]),
                      text(found.get(20, b""))))  # fmt: skip
    seen = {"links": [
        f"{name} {kind or 'device'} {'up' if up else 'down'} master {names.get(master, '-')} mtu {mtu} {alias}"
        for name, kind, up, master, mtu, alias in links]}  # fmt: skip
    seen["addresses"] = []
    for message in dump(NETLINK_ROUTE, GETADDR, bytes(8)):
        family, length, _, _, index = struct.unpack_from("=BBBBi", message)
        found = attributes(message, 8)
        shown = address(family, found.get(2) or found.get(1))
        if not is_of_the_link(family, shown):
            seen["addresses"].append(f"{names.get(index, index)} {shown}/{length}")
    seen["routes"] = []
    for message in dump(NETLINK_ROUTE, GETROUTE, bytes(12)):
        family, length, _, _, table, protocol, scope, kind = struct.unpack_from("=8B", message)
        found = attributes(message, 12)
        if 15 in found:
            table = number(found[15])
        to = address(family, found.get(1))
        # Those that the kernel makes of an address, it is compared itself.
        if is_of_the_link(family, to) or (table == 255 and protocol == 2) or (family == 10 and protocol == 2):
            continue
        out = names.get(number(found.get(4, bytes(4))), "-")
        seen["routes"].append(f"{to}/{length} via {address(family, found.get(5))} dev {out} table {table} type {kind}")
    seen["rules"] = [
        f"{message[0]} {sorted((key, value.hex()) for key, value in attributes(message, 12).items())}"
        for message in dump(NETLINK_ROUTE, GETRULE, bytes(12))]  # fmt: skip
    seen["qdiscs"] = []
    for message in dump(NETLINK_ROUTE, GETQDISC, bytes(20)):
        index, handle, parent = struct.unpack_from("=iII", message, 4)
        kind = text(attributes(message, 20)[1])
        if handle:
            seen["qdiscs"].append(f"{names.get(index, index)} {kind} {handle:x} parent {parent:x}")
    return {key: sorted(value) for key, value in seen.items()}


def output(words):
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=TIME_LIMIT).stdout


def remove_links():
    """Removes all that can be removed, one by one.

    Where namespaces end that have links, the kernel takes many of them together, and waits for each bridge while nobody on the
    machine may change or ask for a link: 4 s for 250 of them on an idle machine, half a minute on a busy one.
    """
    for message in dump(NETLINK_ROUTE, GETLINK, bytes(16)):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE) as netlink:
            body = struct.pack("=BxHiII", 0, 0, struct.unpack_from("=i", message, 4)[0], 0, 0)
            # What cannot be removed, or has gone with its other end, is refused.
            netlink.send(struct.pack("=IHHII", 16 + len(body), DELLINK, 1, 1, 0) + body)


def legacy_tables():
    """Of the old iptables."""
    tables = []
    for program, file in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        try:
            present = Path("/proc/thread-self/net", file).read_text().split()
        except OSError:
            continue
        for table in present:
            saved = output([f"{program}-legacy-save", "-t", table])
            tables += [f"{program}-legacy {table} {line}" for line in saved.splitlines() if line.startswith(("-A", "-N"))]
    return tables


def packet_filter():
    """The whole rule set, as `nft` prints it; nothing where the kernel has no table."""
    tables = [f"{FAMILIES.get(message[0])} {text(attributes(message, 4)[1])}"
              for message in dump(NETLINK_NETFILTER, GETTABLE, bytes(4))]  # fmt: skip
    if not tables:
        return legacy_tables()
    listed = output(["nft", "-s", "list", "ruleset"])
    # A set lists its elements in no order.
    lines = []
    for line in listed.splitlines():
        is_list = "elements = {" in line or line.endswith(",")
        lines += [part.strip(" \t{},") for part in line.split(",")] if is_list else [line.strip()]
    return sorted(line for line in lines if line) + legacy_tables()


SETTING_FILES = {}


def setting_files(patterns):
    """Those that match; which there are is the same in each network namespace."""
    if patterns not in SETTING_FILES:
        SETTING_FILES[patterns] = sorted(
            str(file) for pattern in patterns for file in Path("/proc/sys/net").glob(pattern)
            if file.name not in FORWARDING and not file.name.startswith("stable_secret") and file.is_file()
            and os.access(file, os.R_OK))  # fmt: skip
    return SETTING_FILES[patterns]


def settings(*patterns):
    found = []
    for file in setting_files(patterns):
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            found.append(f"{file[len('/proc/sys/net/'):]} = {os.read(descriptor, 4096).decode().strip()}")
        except OSError:
            # One that can only be written.
            pass
        finally:
            os.close(descriptor)
    return found


HOST_SETTINGS = [f"ipv{version}/conf/{which}/*" for version in (4, 6) for which in ("all", "default", "lo")]


STATE = ("/var/lib/cni", "/run/cni")


def walk():
    """All that is kept on disk, but for what every network keeps between containers: paths, with a slash behind those of
    empty directories."""
    for state in STATE:
        for directory, directories, names in os.walk(state):
            for name in names:
                if not name.startswith(KEPT_FILES):
                    yield os.path.join(directory, name)
            for name in directories:
                path = os.path.join(directory, name)
                # A directory of a name that is a file's.
                if os.path.islink(path):
                    yield path
                elif path not in KEPT_DIRECTORIES and not os.listdir(path):
                    yield path + "/"


def files():
    return sorted(walk())


def contents():
    """What is in each file, as a hash."""
    found = {}
    for path in walk():
        if os.path.islink(path):
            found[path] = os.readlink(path)
        elif os.path.isfile(path):
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


def host():
    """What the host has, seen by the calling thread."""
    seen = network({})
    seen["packet filter"] = packet_filter()
    seen["settings"] = settings(*HOST_SETTINGS, "core/somaxconn", "core/rmem_default")
    seen["files"] = files()
    return seen


def container():
    seen = network({})
    seen["settings"] = settings("core/somaxconn")
    return seen


def differences(before, after):
    """What there is more and what less, as one line each."""
    lines = []
    for what in before:
        if before[what] == after[what]:
            continue
        more, less = set(after[what]) - set(before[what]), set(before[what]) - set(after[what])
        lines += [f"{what}: left: {line}" for line in sorted(more)] + [f"{what}: gone: {line}" for line in sorted(less)]
        if not more and not less:
            lines.append(f"{what}: a different number of each")
    return lines
