"""Moments at which a runtime is killed while it works on a container."""

import subprocess
import time
from contextlib import contextmanager, nullcontext

from node import chains_held

# Parts of the time that the work takes.
MOMENTS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
# All plugins have done their part, and the runtime has not heard of it yet.
AT_THE_END = "the end of the chain"


@contextmanager
def awaiting(report, moment, duration):
    """Gives what waits for the moment in work of that duration, in seconds, which the body begins, and may end."""
    with chains_held() if moment == AT_THE_END else nullcontext() as held:

        def wait():
            if held:
                report.expect("a chain comes to its end", held())
            else:
                time.sleep(moment * duration)

        yield wait


def kill_at(report, moment, duration, command):
    """Starts a program that takes `duration` seconds for its work, and kills it at the moment."""
    with awaiting(report, moment, duration) as wait:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait()
        process.kill()
        process.wait()
