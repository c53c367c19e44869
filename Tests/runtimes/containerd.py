"""containerd as a service of the throw-away host, and networks as an administrator configures them."""

import json
import subprocess
from pathlib import Path

from image import PAUSE
from node import NETWORKS, PLUGINS, required, run, start

SOCKET = "/run/containerd/containerd.sock"
CONFIGURATION = f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{NETWORKS}"
    max_conf_num = 2
"""


def network(number, name, *plugins):
    """A chain; `one` with number 1 is 10.41.1.0/24 and fd00:41:1::/64."""
    ranges = [[{"subnet": f"10.41.{number}.0/24"}], [{"subnet": f"fd00:41:{number}::/64"}]]
    return {
        "cniVersion": "1.0.0", "name": name,
        "plugins": [
            {"type": "bridge", "bridge": f"cni{number}", "isGateway": True, "ipMasq": True, "hairpinMode": True,
             "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "firewall"},
            *plugins,
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
        ],
    }  # fmt: skip


def write_networks():
    """The files, by their networks' names."""
    files = {}
    for number, name, plugins in ((1, "one", [{"type": "bandwidth", "capabilities": {"bandwidth": True}}]), (2, "two", [])):
        files[name] = Path(NETWORKS, f"1{number}-{name}.conflist")
        files[name].write_text(json.dumps(network(number, name, *plugins)))
    return files


class Containerd:
    process = None

    def start(self):
        Path("/etc/containerd").mkdir(exist_ok=True)
        Path("/etc/containerd/config.toml").write_text(CONFIGURATION)
        self.process = start("containerd", "--config", "/etc/containerd/config.toml")
        required("containerd answers", lambda: run("ctr", "version", check=False).returncode == 0, 60)

    def load(self, namespace):
        run("ctr", "--namespace", namespace, "images", "import", "/run/images.tar")

    def kill(self):
        """As the kernel would, for lack of memory."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            print("containerd does not stop, and is killed", flush=True)
            self.kill()

    def restart(self, kill=False):
        self.kill() if kill else self.stop()
        self.start()
