"""The protocol itself: what plugins answer to calls that are odd, incomplete or wrong."""

import json

import scenarios

# The first scenario of each plugin.
PLUGINS = {}
for scenario in scenarios.ALL:
    PLUGINS.setdefault(scenario.plugin, scenario)


def cases(plugin, version, host):
    """Yields (name, command, standard input, environment); None in the environment stands for an absent variable."""
    config = PLUGINS[plugin].configuration(version, host)

    def with_(**keys):
        return json.dumps({key: value for key, value in {**config, **keys}.items() if value is not None}).encode()

    good = with_()
    yield "VERSION", "VERSION", json.dumps({"cniVersion": version}).encode(), {}
    yield "VERSION, nothing in the environment", "VERSION", json.dumps({"cniVersion": version}).encode(), {
        "CNI_CONTAINERID": None, "CNI_NETNS": None, "CNI_IFNAME": None, "CNI_PATH": None}  # fmt: skip
    for variable in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"):
        yield f"ADD without {variable}", "ADD", good, {variable: None}
    for variable in ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"):
        yield f"DEL without {variable}", "DEL", good, {variable: None}
    yield "DEL without CNI_NETNS", "DEL", good, {"CNI_NETNS": None}
    yield "DEL with an empty CNI_NETNS", "DEL", good, {"CNI_NETNS": ""}
    yield "DEL with a namespace that is gone", "DEL", good, {"CNI_NETNS": "/run/netns/gone"}
    yield "DEL of what never was", "DEL", good, {"CNI_CONTAINERID": "never"}
    yield "ADD with a namespace that is gone", "ADD", good, {"CNI_NETNS": "/run/netns/gone"}
    yield "ADD with a file that is no namespace", "ADD", good, {"CNI_NETNS": "/proc/self/status"}
    yield "unknown command", "FROB", good, {}
    yield "empty input", "ADD", b"", {}
    yield "input that is no JSON", "ADD", b"{", {}
    yield "input that is a list", "ADD", b"[]", {}
    yield "cniVersion unknown", "ADD", with_(cniVersion="9.9.9"), {}
    yield "cniVersion malformed", "ADD", with_(cniVersion="one"), {}
    yield "cniVersion absent", "ADD", with_(cniVersion=None), {}
    yield "cniVersion empty", "ADD", with_(cniVersion=""), {}
    yield "name absent", "ADD", with_(name=None), {}
    yield "name with a slash", "ADD", with_(name="../differential"), {}
    yield "name with a space", "ADD", with_(name="a b"), {}
    for identifier in ("../c1", "-c1", "c 1", "c/1", "c1\n"):
        yield f"container ID {identifier!r}", "ADD", good, {"CNI_CONTAINERID": identifier}
    for interface in ("..", ".", "a b", "a/b", "a:b", "sixteen-letters-"):
        yield f"interface name {interface!r}", "ADD", good, {"CNI_IFNAME": interface}
    yield "CNI_ARGS malformed", "ADD", good, {"CNI_ARGS": "nonsense"}
    yield "CHECK without a result", "CHECK", good, {}
    yield "CHECK with an empty result", "CHECK", with_(prevResult={}), {}
    yield "prevResult null", "ADD", with_(prevResult=None), {}
