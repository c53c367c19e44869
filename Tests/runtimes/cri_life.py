"""containerd's CRI, as a kubelet uses it.

A pod keeps the networks it has begun with: they are neither connected, nor disconnected, nor reloaded.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from containerd import write_networks
from killing import Kills, write_with_holds
from kubelet import Kubelet
from node import HOST, ask, end, ip, leases, remains, required, run, wait_until, without_plugin
from traffic import Server, collect, direct, every_address, expect_answers, outside_server, published, unpublished, world

NETWORKS = ("one", "two")
PORTS = (("tcp", 8081, 80), ("udp", 8053, 53))


class Life:
    """The scenarios, with the kubelet that they share."""

    def __init__(self, kubelet):
        self.kubelet = kubelet

    def pods(self, report):
        kubelet = self.kubelet
        ready = {each.type: each.status for each in kubelet.client.Status().status.conditions}
        report.expect("the network is ready", ready.get("NetworkReady"), ready)
        one, first = kubelet.pod("p1", (*PORTS, ("tcp", 8082, 80, HOST[4]), ("tcp", 0, 80)))
        two, second = kubelet.pod("p2")
        first.published = PORTS
        report.same("addresses of each family", [len(first.addresses[family]) for family in (4, 6)], [2, 2])
        report.same("addresses of the status, those of eth0", first.status, [first.addresses[family][0] for family in (4, 6)])
        expect_answers(report, [
            *direct(first), *direct(second), *published(first), *world(first), *world(second),
            *direct(first, "p2", second.namespace), *direct(second, "p1", first.namespace),
            *direct(Server("p1", None, {family: first.addresses[family][:1] for family in (4, 6)}), "outside", "client"),
            *[(f"{kind} from p2 to the host's {family}", (second.namespace, kind, HOST[family], port), ("p1", inner))
              for family in (4, 6) for kind, port, inner in PORTS],
            ("a mapping for the host's address", ("client", "tcp", HOST[4], 8082), ("p1", 80)),
        ])  # fmt: skip
        for kind, port, _ in PORTS:
            # So that who asks for "localhost" goes on to 127.0.0.1.
            answer = ask(None, kind, "::1", port)
            report.same(f"{kind} to [::1]:{port}", answer, "ConnectionRefusedError")
        tuned = run("nsenter", f"--net={first.namespace}", "cat", "/proc/sys/net/core/somaxconn")
        report.same("the setting of tuning", tuned, "500")
        kubelet.client.StopPodSandbox(pod_sandbox_id=one)
        unpublished(report, PORTS)
        kubelet.client.StopPodSandbox(pod_sandbox_id=one)
        kubelet.client.RemovePodSandbox(pod_sandbox_id=one)
        kubelet.client.RemovePodSandbox(pod_sandbox_id=one)
        expect_answers(report, [*direct(second), *world(second)])
        kubelet.remove(two)

    def taken(self, report):
        """A port that another pod has: the error says whose it is, and nothing is left of the pod."""
        kubelet = self.kubelet
        one, first = kubelet.pod("p1", PORTS)

        def kept():
            return leases(*NETWORKS), remains.output("nft", "list", "ruleset")

        before = kept()
        try:
            kubelet.sandbox("p2", PORTS)
            report.expect("the second pod is refused", False)
        except grpc.RpcError as error:
            said = error.details()
            report.expect("the second pod is told who has its port", f"taken by container {one}" in said, said)
        report.expect("nothing is left of it", wait_until(lambda: kept() == before), kept())
        expect_answers(report, [*published(first)])
        kubelet.remove(one)
        two, second = kubelet.pod("p2", PORTS)
        expect_answers(report, [*published(second)])
        kubelet.remove(two)

    def bandwidth(self, report):
        kubelet = self.kubelet
        limits = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M"}
        one, first = kubelet.pod("p1", PORTS, limits)
        rates = [part for line in remains.output("tc", "qdisc").splitlines() if " tbf " in line
                 for part in line.split() if part.endswith("bit")]  # fmt: skip
        report.same("limits of both directions", sorted(rates), ["10Mbit", "20Mbit"])
        expect_answers(report, [*direct(first), *published(first), *world(first)])
        kubelet.remove(one)

    def many(self, report):
        kubelet = self.kubelet
        ports = [(("tcp", 8100 + number, 80), ("udp", 8200 + number, 53)) for number in range(12)]
        with ThreadPoolExecutor(12) as pool:
            pods = list(pool.map(lambda number: kubelet.pod(f"m{number}", ports[number]), range(12)))
            servers = [server for _, server in pods]
            report.same("different addresses", len({address for one in servers for address in every_address(one)}), 48)
            expect_answers(report, [question for one in servers for question in (*direct(one), *published(one))])
            list(pool.map(lambda pod: kubelet.remove(pod[0]), pods))
        report.same("leases", leases(*NETWORKS), [])

    def pod_restarted(self, report):
        """The pod's container ends, and gets a successor in the pod; then the pod itself ends, and gets one, which has the
        ports already when the old one is removed."""
        kubelet = self.kubelet
        one = kubelet.sandbox("p1", PORTS)
        container = kubelet.container(one, "p1", PORTS)
        first = kubelet.server(one, "p1", PORTS)
        kubelet.client.StopContainer(container_id=container, timeout=1)
        kubelet.client.RemoveContainer(container_id=container)
        kubelet.container(one, "p1", PORTS, attempt=1)
        again = kubelet.server(one, "p1", PORTS)
        report.same("addresses of the same pod", again.addresses, first.addresses)
        expect_answers(report, [*direct(again), *published(again), *world(again)])

        end(again.pid)
        required("the pod's end is noticed", lambda: kubelet.client.PodSandboxStatus(pod_sandbox_id=one).status.state != 0)
        kubelet.client.StopPodSandbox(pod_sandbox_id=one)
        two, second = kubelet.pod("p1", PORTS, attempt=1)
        kubelet.client.RemovePodSandbox(pod_sandbox_id=one)
        expect_answers(report, [*direct(second), *published(second), *world(second)])
        report.same("leases", leases(*NETWORKS), every_address(second))
        kubelet.remove(two)
        unpublished(report, PORTS)

    def restarted(self, report):
        """containerd is stopped, or killed, while pods run."""
        kubelet = self.kubelet
        for what, kill in (("stopped", False), ("killed", True)):
            one, first = kubelet.pod("p1", PORTS)
            kubelet.restart(kill)
            again = kubelet.server(one, "p1", PORTS)
            report.same(f"addresses after containerd was {what}", again.addresses, first.addresses)
            report.same(f"status after containerd was {what}", again.status, first.status)
            two, second = kubelet.pod("p2")
            expect_answers(report, [
                *direct(again), *published(again), *world(again), *direct(second, "p1", again.namespace),
            ])  # fmt: skip
            kubelet.remove(one)
            kubelet.remove(two)
            unpublished(report, PORTS)

    def all_killed(self, report):
        """containerd, and everything in the pod with its shim: what a crash of the machine leaves to the next start."""
        kubelet = self.kubelet
        one, first = kubelet.pod("p1", PORTS)
        victims = [int(path.name) for path in Path("/proc").glob("[0-9]*")
                   if "containerd-shim" in executable(path) or is_inside(path, first.namespace)]  # fmt: skip
        kubelet.daemon.kill()
        for victim in victims:
            end(victim)
        kubelet.restart(kill=True)
        kubelet.remove_all()
        report.same("leases", leases(*NETWORKS), [])
        unpublished(report, PORTS)

    def namespace_gone(self, report):
        kubelet = self.kubelet
        one, _ = kubelet.pod("p1", PORTS)
        for path in Path("/run/netns").glob("cni-*"):
            ip("netns", "delete", path.name)
        kubelet.remove(one)
        report.same("leases", leases(*NETWORKS), [])
        unpublished(report, PORTS)

    def plugin_goes(self, report):
        """A plugin's executable is gone when a pod is stopped: the kubelet is told, and tries again until it is there."""
        kubelet = self.kubelet
        one, _ = kubelet.pod("p1", PORTS)
        two, second = kubelet.pod("p2")
        with without_plugin("portmap"):
            try:
                kubelet.client.StopPodSandbox(pod_sandbox_id=one)
                report.expect("the pod is not stopped", False)
            except grpc.RpcError as error:
                said = error.details()
                report.expect("the kubelet is told which plugin is missing", 'failed to find plugin "portmap"' in said, said)
        kubelet.remove(one)
        report.same("leases of what is left", leases(*NETWORKS), every_address(second))
        unpublished(report, PORTS)
        expect_answers(report, [*direct(second), *world(second)])
        kubelet.remove(two)

    def killed_midway(self, report):
        """containerd, at moments of RunPodSandbox and StopPodSandbox: the kubelet removes what is listed after the next
        start, and `cnitool gc` what is not."""
        kubelet = self.kubelet
        kept_id, kept = kubelet.pod("kept", (("tcp", 8099, 80),))
        own = leases(*NETWORKS)
        places = sum(map(write_with_holds, write_networks().values()))
        kubelet.restart()
        try:
            for call, command in (("RunPodSandbox", "ADD"), ("StopPodSandbox", "DEL")):
                with Kills(report, call, command, places) as kills:
                    for moment in (None, *kills.moments()):
                        self.kill_midway(kills, moment)
                        for item in kubelet.client.ListPodSandbox().items:
                            if item.id != kept_id:
                                kubelet.remove(item.id)
                        collect(*NETWORKS, keep=[f"{kept_id}/eth0", f"{kept_id}/eth1"])
                        for path in Path("/run/netns").glob("cni-*"):
                            if not path.samefile(kept.namespace):
                                ip("netns", "delete", path.name)
                        kills.nothing_left(moment, leases(*NETWORKS), own)
                        unpublished(report, PORTS)
        finally:
            write_networks()
            kubelet.restart()
        expect_answers(report, [*direct(kept), *published(kept), *world(kept)])
        kubelet.remove(kept_id)

    def kill_midway(self, kills, moment):
        kubelet = self.kubelet
        identifier = kubelet.sandbox("p1", PORTS) if kills.command == "DEL" else None
        outcome = []

        def work():
            try:
                if identifier:
                    kubelet.client.StopPodSandbox(pod_sandbox_id=identifier)
                else:
                    kubelet.sandbox("p1", PORTS)
                outcome.append("done")
            except grpc.RpcError as error:
                outcome.append(error.code())

        call = threading.Thread(target=work, daemon=True)
        if moment is None:
            with kills.measured():
                call.start()
                call.join()
            return
        daemon = kubelet.daemon.process
        with kills.at(moment) as wait:
            call.start()
            caller = wait()
            lived = daemon.poll() is None and call.is_alive()
            kubelet.daemon.kill()
            # That the daemon is gone is what ends the call.
            call.join(60)
            kubelet.restart(kill=True)
        kills.count(moment, lived and outcome == [grpc.StatusCode.UNAVAILABLE] and caller in (None, daemon.pid))


def is_inside(process, namespace):
    try:
        return process.joinpath("ns/net").samefile(namespace)
    except OSError:
        return False


def executable(process):
    try:
        return os.readlink(process / "exe")
    except OSError:
        return ""


def live(report):
    write_networks()
    kubelet = Kubelet()
    life = Life(kubelet)
    with_world = outside_server()
    for title, scenario in {
        "pods with two networks, host ports": life.pods,
        "a port that is taken": life.taken,
        "bandwidth": life.bandwidth,
        "12 pods at once": life.many,
        "a pod restarted": life.pod_restarted,
        "containerd restarted": life.restarted,
        "containerd and the pod killed": life.all_killed,
        "namespace gone": life.namespace_gone,
        "a plugin gone": life.plugin_goes,
        "containerd killed midway": life.killed_midway,
    }.items():
        report.run(title, scenario)
        kubelet.recover()
    with_world.kill()
    kubelet.client.close()
    kubelet.daemon.stop()
