"""As much of a kubelet as the tests need."""

import json

import grpc
from containerd import SOCKET, Containerd
from cri import Client, config, container
from image import ANSWER
from node import ask, required
from traffic import Server, addresses


class Kubelet:
    def __init__(self):
        self.daemon = Containerd()
        self.daemon.start()
        self.daemon.load("k8s.io")
        self.connect()

    def connect(self):
        self.client = Client(SOCKET)
        required("containerd's CRI is ready", self.is_ready, 60)

    def is_ready(self):
        try:
            return all(each.status for each in self.client.Status().status.conditions)
        except grpc.RpcError:
            return False

    def restart(self, kill=False):
        """Who waits for an answer meanwhile learns from the daemon's end that there will be none."""
        self.daemon.kill() if kill else self.daemon.stop()
        self.client.close()
        self.daemon.start()
        self.connect()

    def sandbox(self, name, ports=(), annotations=None, attempt=0):
        return self.client.RunPodSandbox(config=config(name, ports, annotations, attempt)).pod_sandbox_id

    def container(self, identifier, name, ports=(), annotations=None, attempt=0):
        created = self.client.CreateContainer(
            pod_sandbox_id=identifier, config=container(attempt, ANSWER, "/bin/answer", name, "tcp/80", "udp/53"),
            sandbox_config=config(name, ports, annotations))  # fmt: skip
        self.client.StartContainer(container_id=created.container_id)
        return created.container_id

    def pod(self, name, ports=(), annotations=None, attempt=0):
        """A pod whose container answers."""
        identifier = self.sandbox(name, ports, annotations, attempt)
        self.container(identifier, name, ports, annotations)
        return identifier, self.server(identifier, name, ports)

    def server(self, identifier, name, ports=()):
        answer = self.client.PodSandboxStatus(pod_sandbox_id=identifier, verbose=True)
        info = json.loads(answer.info["info"])
        namespace = f"/proc/{info['pid']}/ns/net"
        said = [answer.status.network.ip, *(each.ip for each in answer.status.network.additional_ips)]
        made = Server(name, namespace, addresses(namespace), ports)
        made.pid, made.status = info["pid"], said
        required(f"{name} answers itself", lambda: ask(namespace, "tcp", "127.0.0.1", 80).startswith(name))
        return made

    def remove(self, identifier):
        self.client.StopPodSandbox(pod_sandbox_id=identifier)
        self.client.RemovePodSandbox(pod_sandbox_id=identifier)

    def recover(self):
        """For the next scenario, if one has failed half-way."""
        if self.daemon.process.poll() is not None:
            self.restart(kill=True)
        self.remove_all()

    def remove_all(self):
        for item in self.client.ListPodSandbox().items:
            self.remove(item.id)
