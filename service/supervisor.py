"""What a supervisor such as systemd hands over, and what it is told; without one, nothing of this happens.

Its protocol is variables and datagrams: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, MutableMapping

log = logging.getLogger(__name__)

FIRST = 3
"""The first socket's file descriptor: SD_LISTEN_FDS_START in sd_listen_fds(3)."""
NEWS = 5.0
"""Seconds between two looks at the status."""


class Supervisor:
    """Takes its variables out of the environment: no child shall take them for its own."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self.sockets = _handed_over(environment)
        """They are listened on already; empty unless it hands some over."""
        self.pulse = _pulse(environment)
        address = environment.pop("NOTIFY_SOCKET", "")
        # sd_notify(3): an @ at the beginning stands for the null byte of an abstract socket, unix(7).
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def notify(self, *states: str) -> None:
        """Tells it `READY=1` and the like; that it cannot be told is no reason to fail."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto("\n".join(states).encode(), self._address)
        except OSError as error:
            log.warning("the supervisor cannot be told %s: %s", states[0], error)

    async def attend(self, status: Callable[[], str]) -> None:
        """Says that the event loop turns, which feeds a watchdog, and what the status is when it changes."""
        told = ""
        while self._address:
            now = status()
            self.notify("WATCHDOG=1", *([f"STATUS={now}"] if now != told else []))
            told = now
            await asyncio.sleep(self.pulse)


def _handed_over(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Sockets for this process, not for its children: sd_listen_fds(3)."""
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()):
        return []
    numbers = range(FIRST, FIRST + int(count))
    for number in numbers:
        os.set_inheritable(number, False)
    return [socket.socket(fileno=number) for number in numbers]


def _pulse(environment: MutableMapping[str, str]) -> float:
    """Seconds between two signs of life: half of what the watchdog waits for, sd_watchdog_enabled(3)."""
    process, limit = environment.pop("WATCHDOG_PID", ""), environment.pop("WATCHDOG_USEC", "")
    if not limit or process not in {"", str(os.getpid())}:
        return NEWS
    return min(NEWS, int(limit) / 1_000_000 / 2)
