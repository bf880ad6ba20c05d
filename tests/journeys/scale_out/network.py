"""Machines as network namespaces on a bridge, each with an address of its own.

Everything is inside one outer namespace (`inside`), which has no link to the machine's own network. It has its own processes,
too: when its first process ends, for whatever reason, the kernel kills the others and forgets every namespace.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.77.0"
BRIDGE = "br0"
# The bridge's own address: clients and the vendor's server.
OUTSIDE = f"{NETWORK}.1"
NAMESPACES = Path("/run/netns")
PROGRAMS = ("ip", "unshare", "nsenter", "mount")
# Sets the machine's host name in a namespace of its own, because workers tell it.
NAMED = 'hostname "$0" && exec "$@"'


def missing() -> str | None:
    """Why no namespaces can be made here, or None."""
    if absent := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"{', '.join(absent)} not found: apt-get install iproute2 util-linux"
    probe = "mount -t tmpfs tmpfs /run && ip link add probe type bridge && ip netns add probe"
    done = subprocess.run([*inside(), "sh", "-c", probe], capture_output=True, text=True, check=False)
    return f"network namespaces cannot be made here: {done.stderr.strip()}" if done.returncode else None


def inside() -> list[str]:
    """The words before a command that run it in a network of its own, which ends with it."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


@dataclass(frozen=True)
class Machine:
    """A machine with its own network, host name and address."""

    name: str
    number: int

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    def command(self, words: Sequence[str]) -> list[str]:
        """The words that run a command on this machine, in the same process."""
        return ["nsenter", f"--net={NAMESPACES / self.name}", "unshare", "--uts", "sh", "-c", NAMED, self.name, *words]

    @property
    def _link(self) -> str:
        return f"to-{self.name}"

    def add(self) -> None:
        """Adds it to the network."""
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("link", "set", self._link, "master", BRIDGE, "up")
        _ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def cut(self) -> None:
        """Pulls its cable: packets are lost, and no peer gets a reset."""
        _ip("link", "set", self._link, "down")

    def mend(self) -> None:
        """Plugs its cable in again."""
        _ip("link", "set", self._link, "up")

    @contextlib.contextmanager
    def unplugged(self, seconds: float) -> Iterator[None]:
        """Runs the block while its cable is pulled, for at least this long."""
        ends_at = time.monotonic() + seconds
        self.cut()
        try:
            yield
            time.sleep(max(ends_at - time.monotonic(), 0))
        finally:
            self.mend()

    def kill_all(self) -> None:
        """Kills (-9) every process on it."""
        while found := self._processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _processes(self) -> list[int]:
        own = (NAMESPACES / self.name).stat().st_ino
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (place / "ns/net").stat().st_ino == own and (place / "stat").read_text().rpartition(")")[2][
                    1
                ] != "Z":
                    found.append(int(place.name))
        return found


def build(machines: Sequence[Machine], root: Path) -> None:
    """Makes the bridge and adds all machines. They know each other's names. ``root``: a directory for their hosts file."""
    # `ip netns` keeps its files there. This file system is visible inside only.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    lines = ["127.0.0.1 localhost", *(f"{machine.address} {machine.name}" for machine in machines)]
    (root / "hosts").write_text("\n".join(lines) + "\n")
    subprocess.run(["mount", "--bind", str(root / "hosts"), "/etc/hosts"], check=True)
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    for machine in machines:
        machine.add()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
