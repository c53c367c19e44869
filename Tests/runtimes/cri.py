"""A client of the Container Runtime Interface, as far as cri.proto goes."""

import os
import sys

from node import TOOLS

# Its threads have no business in programs that are started.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
sys.path.insert(0, str(TOOLS))

import cri_pb2  # noqa: E402 (made by protoc)
import grpc  # noqa: E402


class Client:
    """Each method of the service is one here: `client.StopPodSandbox(pod_sandbox_id=…)` gives the response."""

    def __init__(self, socket):
        # What has ended is asked again soon.
        self.channel = grpc.insecure_channel(f"unix://{socket}", options=[("grpc.max_reconnect_backoff_ms", 200)])

    def __getattr__(self, method):
        request, response = getattr(cri_pb2, f"{method}Request"), getattr(cri_pb2, f"{method}Response")
        call = self.channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}", request_serializer=request.SerializeToString,
            response_deserializer=response.FromString)  # fmt: skip
        return lambda **fields: call(request(**fields), timeout=60, wait_for_ready=True)

    def close(self):
        self.channel.close()


def config(name, ports=(), annotations=None, attempt=0):
    """A pod's configuration; ports are (protocol, of the host, of the pod[, address of the host])."""
    return cri_pb2.PodSandboxConfig(
        metadata=cri_pb2.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default", attempt=attempt), hostname=name,
        port_mappings=[
            cri_pb2.PortMapping(protocol=kind.upper(), host_port=outer, container_port=inner, host_ip="".join(address))
            for kind, outer, inner, *address in ports],
        annotations=annotations or {})  # fmt: skip


def container(attempt, image, *command):
    return cri_pb2.ContainerConfig(
        metadata=cri_pb2.ContainerMetadata(name="answer", attempt=attempt), image=cri_pb2.ImageSpec(image=image), command=command)
