"""Who can reach a container, and by which address."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node import (
    ELSEWHERE,
    HOST,
    LOCAL,
    OUTSIDE,
    PLUGINS,
    TOOLS,
    Failure,
    ask,
    command_line,
    remains,
    required,
    run,
    start,
    wait_until,
)

OUTSIDE_PORTS = {"tcp": 7080, "udp": 7053}


class Server:
    """A container that answers: its name, its ports, its network namespace, its addresses by family, and what is
    published (protocol, port of the host, port of the container)."""

    def __init__(self, name, namespace, addresses, published=(), ports=(("tcp", 80), ("udp", 53))):
        self.name = name
        self.namespace = namespace
        self.addresses = addresses
        self.published = published
        self.ports = ports


def is_found(network):
    """Whether who asks for the IPv6 addresses in a network namespace (/proc/PID/net) is answered."""
    groups = {tuple(line.split()[1:3]) for line in (network / "igmp6").read_text().splitlines()}
    for address, _, _, scope, _, interface in map(str.split, (network / "if_inet6").read_text().splitlines()):
        if scope == "00" and interface != "lo" and (interface, f"ff0200000000000000000001ff{address[-6:]}") not in groups:
            return False
    return True


def settle(namespace):
    """The kernel makes a new IPv6 address one that neighbours find when it gets to it, which on a busy machine takes it
    many seconds; a client that gets no answer asks again, but not the ones here."""
    networks = (Path("/proc/self/net"), Path(namespace).parents[1] / "net")
    if not wait_until(lambda: all(map(is_found, networks)), 120):
        raise Failure("IPv6 addresses do not come into effect")


def addresses(namespace):
    """Those of a container, by family, in the order of its interfaces."""
    settle(namespace)
    found = run("nsenter", f"--net={namespace}", "ip", "-o", "address", "show", "scope", "global").splitlines()
    words = sorted((line.split() for line in found), key=lambda words: words[1])
    return {family: [each[3].split("/")[0] for each in words if each[2] == name] for family, name in ((4, "inet"), (6, "inet6"))}


def every_address(server):
    return sorted(server.addresses[4] + server.addresses[6])


def all_at_once(questions):
    """Asks all of them, each a tuple of arguments for `ask`; gives the answers in their order."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda question: ask(*question), questions))


def expect_answers(report, questions):
    """Questions are (what, arguments for `ask`, the answer's words, of which the last ones may be left out)."""
    answers = all_at_once([arguments for _, arguments, _ in questions])
    for (what, arguments, wanted), answer in zip(questions, answers):
        words = answer.split()[: len(wanted)]
        report.expect(what, words == [str(word) for word in wanted],
                      f"{' '.join(map(str, arguments[1:]))}: {answer!r} instead of {wanted}")  # fmt: skip


def direct(server, who="the host", where=None, families=(4, 6)):
    """By its own addresses."""
    for family in families:
        for address in server.addresses[family]:
            for kind, port in server.ports:
                yield f"{kind} from {who} to {server.name}'s {address}", (where, kind, address, port), (server.name, port)


def published(server, families=(4, 6), local=True):
    """By the host's addresses: from outside, where the asker's address is kept; from the host; from 127.0.0.1; and from
    itself."""
    for kind, port, behind in server.published:
        for family in families:
            yield (f"{kind} from outside to the host's {family}:{port}", ("client", kind, HOST[family], port),
                   (server.name, behind, OUTSIDE[family]))  # fmt: skip
            yield f"{kind} from the host to its {family}:{port}", (None, kind, HOST[family], port), (server.name, behind)
            if server.namespace:
                yield (f"{kind} from {server.name} to the host's {family}:{port}",
                       (server.namespace, kind, HOST[family], port), (server.name, behind))  # fmt: skip
        if local and 4 in families:
            yield f"{kind} from the host to 127.0.0.1:{port}", (None, kind, LOCAL[4], port), (server.name, behind)


def unpublished(report, ports):
    """Nobody answers there any more: whoever asks by TCP is refused, which is not what a way to a container that is gone would do. The
    kernel may be sparing with refusals by UDP, so that no rule may speak of the port."""
    questions = [(where, kind, address, port, 5 if kind == "tcp" else 1) for kind, port, _ in ports
                 for where, address in (("client", HOST[4]), ("client", HOST[6]), (None, LOCAL[4]))]  # fmt: skip
    for question, answer in zip(questions, all_at_once(questions)):
        nobody = ("ConnectionRefusedError",) if question[1] == "tcp" else ("ConnectionRefusedError", "TimeoutError")
        report.expect(f"nobody answers at {question[1:4]}", answer in nobody, answer)
    rules = remains.rules()
    for kind, port, _ in ports:
        speaking = [f"{what}: {line.strip()}" for what, text in rules.items() for line in text.splitlines()
                    if re.search(rf"(?<!packets )(?<!bytes )\b{port}\b", line)]  # fmt: skip
        report.expect(f"no rule speaks of {kind} {port}", not speaking, "; ".join(speaking))


def outside_server():
    """Somebody outside whom containers ask."""
    ports = [f"{kind}/{port}" for kind, port in OUTSIDE_PORTS.items()]
    process = start(str(TOOLS / "answer"), "outside", *ports, where="client")
    required("somebody outside answers", lambda: ask("client", "tcp", "127.0.0.1", OUTSIDE_PORTS["tcp"]).startswith("outside"))
    return process


def world(server, families=(4, 6)):
    """What it sends beyond its network has the host's address."""
    for family in families:
        for kind, port in OUTSIDE_PORTS.items():
            yield (f"{kind} from {server.name} to the world, by {family}", (server.namespace, kind, OUTSIDE[family], port),
                   ("outside", port, HOST[family]))  # fmt: skip


def is_plugin(process):
    """Of a script, the shell is what runs, and the script its first word."""
    try:
        programs = [os.readlink(process / "exe"), *command_line(process.name)[:2]]
    except OSError:
        return False
    return any(os.path.dirname(program) in (str(PLUGINS), *ELSEWHERE) for program in programs)


def collect(*networks, keep=()):
    """What an administrator does when a runtime has lost containers: `cnitool gc` for each network, sparing those that
    run (container/interface). A plugin that has outlived the runtime that called it comes to its end first."""
    if not wait_until(lambda: not any(map(is_plugin, Path("/proc").glob("[0-9]*"))), 30):
        raise Failure("a plugin does not come to its end")
    spared = [word for attachment in keep for word in ("--keep", attachment)]
    for network in networks:
        run(str(PLUGINS / "cnitool"), "gc", *spared, network, CNI_PATH=str(PLUGINS))
