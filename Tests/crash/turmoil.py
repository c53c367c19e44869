"""A host that does not hold still, while containers come and go."""

from changing_links import changing_links
from flushed_tables import flushed
from reloads import reloaded

ROUNDS = 3

TURMOILS = {"1,000 changes a second": changing_links, "iptables -F": flushed, "firewall-cmd --reload": reloaded}


def attempt(what, rounds):
    note, problems = "", []
    try:
        note = TURMOILS[what](rounds, problems)
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
    return note, problems
