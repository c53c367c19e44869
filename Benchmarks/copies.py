"""Containers of the peer that are on a host without having been attached: their rules, leases and links, as its plugins write
them. To have the plugins make them takes half an hour.
"""

import re
from pathlib import Path

from hosts import LEASES, execute


class Copies:
    """Puts the peer's rules of further containers in place by one iptables-restore. What its plugins wrote for one container,
    which is gone by then, is the pattern.
    """

    CHAIN = r"CNI-(?:DN-)?[0-9a-f]{10,}"

    def __init__(self, host, capabilities):
        self.host, self.count = host, 0
        before = self.lines()
        pattern = f"{host.name}-pattern"
        host.attach(pattern, capabilities)
        new = {table: [line for line in lines if line not in before.get(table, [])]
               for table, lines in self.lines().items()}  # fmt: skip
        text = " ".join(line for lines in new.values() for line in lines)
        self.address = re.search(r"10\.22\.\d+\.\d+(?=:\d)", text).group()
        self.ports = [mapping["hostPort"] for mapping in capabilities["portMappings"]]
        self.chains = sorted(set(re.findall(self.CHAIN, text)))
        self.containers = sorted(set(re.findall(r"cnitool-[0-9a-f]{20}", text)))
        # Without what all containers share.
        own = re.compile(rf"{self.CHAIN}|{re.escape(self.address)}\b")
        self.pattern = {table: [line for line in lines if own.search(line)] for table, lines in new.items()}
        # Only copies are to be there.
        host.detach(pattern, capabilities)

    def lines(self):
        tables, table = {}, None
        for line in execute(*self.host.inside("iptables-save")).splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith((":", "-A")):
                tables.setdefault(table, []).append(re.sub(r" \[\d+:\d+\]", " [0:0]", line))
        return tables

    def fill(self, count):
        """Brings the number of copies to `count`."""
        text = []
        for table, lines in self.pattern.items():
            copies = [self.copy(line, number) for number in range(self.count, count) for line in lines]
            text += [f"*{table}", *(line for line in copies if line[0] == ":"),
                     *(line for line in copies if line[0] != ":"), "COMMIT"]  # fmt: skip
        execute(*self.host.inside("iptables-restore", "--noflush"), input="\n".join(text) + "\n")
        self.count = count

    def copy(self, line, number):
        """The line for another container: another address, other chains, and ports from 10000 on."""
        number += 256
        line = re.sub(rf"{re.escape(self.address)}\b", f"10.22.{number // 250}.{number % 250 + 2}", line)
        for chain in self.chains:
            head, _, tail = chain.rpartition("-")
            line = line.replace(chain, f"{head}-{number:0{len(tail)}x}")
        for container in self.containers:
            line = line.replace(container, f"cnitool-{number:020x}")
        for place, port in enumerate(self.ports):
            line = re.sub(rf"\b{port}\b", str(10000 + (number - 256) * len(self.ports) + place), line)
        return line


def fill_leases(network, count):
    """A lease directory as it is with `count` containers running."""
    directory = Path(LEASES, network)
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(2, count + 2):
        last = f"10.22.{number // 256}.{number % 256}"
        file = directory / last
        if not file.exists():
            file.write_text(f"{number:064x}\r\neth0")
    (directory / "last_reserved_ip.0").write_text(last)


def add_links(host, present, count):
    """Links of further containers on the bridge; their other ends are in one namespace."""
    crowd = f"{host.name}-crowd"
    if crowd not in host.namespaces:
        host.make([crowd])
    text = "".join(
        f"link add v{number} type veth peer name c{number} netns {crowd}\n"
        f"link set v{number} master cni0\nlink set v{number} up\n" for number in range(present, count))
    execute("ip", "-n", host.name, "-batch", "-", input=text)
    execute("ip", "-n", crowd, "-batch", "-",
            input="".join(f"link set c{number} up\n" for number in range(present, count)))
