"""The images that the containers are made from: busybox, and the program that answers. No registry is asked."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = ("cat", "grep", "hostname", "ip", "ls", "nc", "ping", "sh", "sleep", "test", "true", "wget")
ANSWER = "localhost/answer:1"
PAUSE = "localhost/pause:1"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _add(archive, name, data=b"", **attributes):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for key, value in attributes.items():
        setattr(entry, key, value)
    archive.addfile(entry, io.BytesIO(data))


def root(answer):
    """The files of a container, as a tar archive; the same for the same program."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for directory in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
            _add(archive, directory, type=tarfile.DIRTYPE, mode=0o755)
        _add(archive, "bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
        _add(archive, "bin/answer", Path(answer).read_bytes(), mode=0o755)
        for name in APPLETS:
            _add(archive, f"bin/{name}", type=tarfile.SYMTYPE, linkname="busybox")
        _add(archive, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", mode=0o644)
        _add(archive, "etc/group", b"root:x:0:\n", mode=0o644)
    return data.getvalue()


def archive(path, answer):
    """Writes both images into one archive, in the form of `docker save`, which each of the runtimes reads."""
    layer = root(answer)
    digest = hashlib.sha256(layer).hexdigest()
    manifest = []
    with tarfile.open(path, "w") as images:
        _add(images, f"{digest}/layer.tar", layer, mode=0o644)
        for name, command in ((ANSWER, ["/bin/answer", "unnamed"]), (PAUSE, ["/bin/answer", "pause"])):
            config = json.dumps({
                "architecture": ARCHITECTURE, "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": command},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}, "history": [{"created_by": "swift-cni"}],
            }).encode()  # fmt: skip
            file = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(images, file, config, mode=0o644)
            manifest.append({"Config": file, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]})
        _add(images, "manifest.json", json.dumps(manifest).encode(), mode=0o644)
