"""Containers of one host that come and go together, and what is done to the host again and again meanwhile."""

import copy
import ipaddress
import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import world as worlds

CONTAINERS = 12


class Repeated:
    """Commands that are run again and again, until the end of `with`; each has to succeed."""

    def __init__(self, *commands, pause=0.02):
        self.commands = commands
        self.pause = pause
        self.count = 0
        self.errors = []
        self.ended = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        while not self.ended.wait(self.pause):
            for command in self.commands:
                process = subprocess.run(command.split(), capture_output=True, text=True)
                if process.returncode != 0:
                    self.errors.append(f"{command}: exit status {process.returncode}: {process.stderr.strip()}")
            self.count += 1

    def once_more(self):
        """Until all of the commands have run from beginning to end."""
        wanted, deadline = self.count + 2, time.monotonic() + 120
        while self.count < wanted and time.monotonic() < deadline:
            time.sleep(0.01)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def problems(self):
        if not self.count:
            return [f"not run even once: {self.commands[0]}"]
        return [*self.errors[:3], *([f"and {len(self.errors) - 3} more"] if len(self.errors) > 3 else [])]


class Containers:
    """Several of one world, each with ports of its own, that are attached and deleted four at a time."""

    def __init__(self, world):
        self.world = world
        self.names = [f"c{number}" for number in range(CONTAINERS)]
        self.calls = 0
        self.addresses = {}
        # What their ADD said, though it succeeded.
        self.said = {}
        self.worlds = {}
        for number, name in enumerate(self.names):
            # One's own environment, and all else in common.
            each = self.worlds[name] = copy.copy(world)
            each.environment = {**world.environment, "CAP_ARGS": json.dumps({"portMappings": self.ports(number)})}

    @staticmethod
    def ports(number):
        return [{"hostPort": 20000 + number, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 20000 + number, "containerPort": 53, "protocol": "udp"}]  # fmt: skip

    def __enter__(self):
        for name in self.names[1:]:
            worlds.make_container(name)
        return self

    def __exit__(self, *_):
        for name in self.names[1:]:
            worlds.remove_container(name)

    def need(self, command, names=None):
        """Each of them has to succeed."""
        names = self.names if names is None else names
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda name: self.worlds[name].need(command, name), names))
        self.calls += len(names)
        for name, answer in zip(names, answers):
            if command == "add":
                given = json.loads(answer.text)["ips"]
                addresses = [ipaddress.ip_interface(each["address"]).ip for each in given]
                self.addresses[name] = [ipaddress.ip_interface(each) for each in addresses]
                self.said[name] = answer.error
            elif command == "del":
                self.addresses.pop(name, None)

    def collect(self):
        """GC, which knows of none of them."""
        self.world.need("gc")
        self.addresses = {}
        self.calls += 1


# Whoever locks a file that others remove locks nothing: it stays.
LOCKS = ("firewall.lock",)


def expect_nothing(world, problems, is_theirs=lambda line: False):
    problems += [f"afterwards: {line}" for line in world.left() if not line.endswith(LOCKS) and not is_theirs(line)]
