"""A machine of its own: systemd-nspawn boots this one's /usr, with what `make install` copies.

Its systemd is a real one, with real units, in its own namespaces; the root directory is a tmpfs.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.deploy.proxy import NGINX, ROOT, SHIPPED, replaced

T = TypeVar("T")
CLONE_NEWNET = 0x40000000  # linux/sched.h
POWEROFF = signal.SIGRTMIN + 4  # systemd(1)
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# /run holds what says that the host was booted by systemd, and its cgroups may be of the old kind: both are
# made anew for nspawn, which enters a group of its own that can be found and removed afterwards.
BOOT = """
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$0"
echo $$ > "/sys/fs/cgroup/$0/cgroup.procs"
exec systemd-nspawn -q -D / --volatile=yes --boot --register=no --keep-unit --private-network \
  --link-journal=no --console=pipe "$@"
"""

NGINX_SERVICE = """
[Service]
Type=forking
PIDFile=/run/nginx.pid
LogsDirectory=nginx
StateDirectory=nginx
ExecStart={nginx} -c /run/nginx.conf
[Install]
WantedBy=multi-user.target
"""

NGINX_CONF = f"""
user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {{ worker_connections 2000; }}
http {{
{SHIPPED}
}}
"""

# What an operator may well change, made fit for tests; credentials are files. A Python of one's own may look
# for its library where it was built.
OWN = """
[Service]
Environment=LD_LIBRARY_PATH=/opt/python/lib
LoadCredential=CAUSERIE_SCRIPTED_ENABLED:/run/settings/scripted
LoadCredential=CAUSERIE_SERVER_SHUTDOWN_TIMEOUT:/run/settings/shutdown_timeout
"""


def missing() -> str:
    """Why no machine can be booted here; empty when it can."""
    packages = {"systemd-nspawn": "systemd-container", "systemd-analyze": "systemd"}
    lacking = [package for command, package in packages.items() if shutil.which(command) is None]
    lacking += [] if NGINX else ["nginx-light"]
    if lacking:
        return f"needs the packages {', '.join(lacking)}"
    return "" if os.geteuid() == 0 else "needs root"


class Machine:
    """A booted machine; `pid` is its systemd's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.socket = f"/proc/{pid}/root/run/causerie/causerie.sock"

    def run(self, *command: str, check: bool = True) -> str:
        """Runs a command in it, and returns what that prints."""
        entered = ["nsenter", "-t", str(self.pid), "-a", "--", *command]
        finished = subprocess.run(entered, capture_output=True, text=True, timeout=60)
        assert not check or finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    def shown(self, name: str, unit: str = "causerie.service") -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def log(self) -> str:
        return self.run("journalctl", "--no-pager", "-u", "causerie.service")

    def client(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Does work in its network, in which nginx is at http://127.0.0.1."""

        def enter() -> T:
            with Path(f"/proc/{self.pid}/ns/net").open() as network:
                if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "The machine's network cannot be entered.")
            return asyncio.run(work())

        with ThreadPoolExecutor(1) as thread:  # it alone is in there, and ends
            return thread.submit(enter).result(300)


@contextmanager
def booted(directory: Path) -> Iterator[Machine]:
    """Boots a machine on which the service is installed and started, behind nginx."""
    name = f"causerie-test-{os.getpid()}"
    binds = [f"--bind-ro={here}:{there}" for here, there in _contents(directory).items()]
    command = ["unshare", "-m", "--propagation", "private", "sh", "-ec", BOOT, name, *binds]
    with (directory / "console").open("w") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
    try:
        machine = Machine(_systemd(process, directory / "console"))
        machine.run("systemctl", "is-system-running", "--wait", check=False)
        yield machine
        os.kill(machine.pid, POWEROFF)
        process.wait(30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        _remove_group(name)


def _contents(directory: Path) -> dict[Path, str]:
    """What of here is where in there."""
    stage, units = directory / "stage", directory / "stage/etc/systemd/system"
    make = ["make", "-C", str(ROOT), "copies", f"DESTDIR={stage}", f"PYTHON={sys.executable}"]
    subprocess.run(make, check=True, capture_output=True)
    environment = stage / "opt/causerie/.venv"
    packages = environment / "lib" / PYTHON / "site-packages"
    packages.mkdir(parents=True)
    (environment / "bin").mkdir()
    (environment / "bin/python").symlink_to(f"/opt/python/bin/{PYTHON}")
    (environment / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    _add_units(units)
    written = {"00.preset": "disable *", "users.conf": "u www-data 33", "nginx.conf": NGINX_CONF}
    settings = {"settings/scripted": "true", "settings/shutdown_timeout": "1"}
    (directory / "settings").mkdir()
    for path, text in (written | settings).items():
        (directory / path).write_text(f"{text}\n")
    return {
        Path(sys.base_prefix): "/opt/python",
        stage / "opt/causerie": "/opt/causerie",
        Path(sys.prefix, packages.relative_to(environment)): f"/{packages.relative_to(stage)}",
        units: "/run/systemd/system",
        directory / "00.preset": "/run/systemd/system-preset/00.preset",
        directory / "users.conf": "/run/sysusers.d/users.conf",
        directory / "nginx.conf": "/run/nginx.conf",
        directory / "settings": "/run/settings",
    }


def _add_units(units: Path) -> None:
    """Adds to the installed units what enables them, and what suits a test."""
    service = units / "causerie.service"
    service.write_text(replaced(service.read_text(), "WatchdogSec=30s", "WatchdogSec=3s"))
    (units / "causerie.service.d").mkdir()
    (units / "causerie.service.d/own.conf").write_text(OWN)
    (units / "nginx.service").write_text(NGINX_SERVICE.format(nginx=NGINX))
    (units / "systemd-firstboot.service").symlink_to("/dev/null")
    wanted = {"sockets": ["causerie.socket"], "multi-user": ["causerie.service", "nginx.service"]}
    for target, names in wanted.items():
        wants = units / f"{target}.target.wants"
        wants.mkdir()
        for name in names:
            (wants / name).symlink_to(f"../{name}")


def _systemd(nspawn: subprocess.Popen[bytes], console: Path) -> int:
    """The pid of the machine's first process, once it can be asked."""
    for _ in range(300):
        assert nspawn.poll() is None, console.read_text()
        for pid in _children(nspawn.pid):
            answers = ["nsenter", "-t", str(pid), "-a", "systemctl", "is-system-running"]
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                asked = subprocess.run(answers, capture_output=True, text=True, timeout=60)
                if asked.stdout.strip() in {"starting", "running", "degraded"}:
                    return pid
        time.sleep(0.1)
    raise TimeoutError(console.read_text())


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _remove_group(name: str) -> None:
    """Ends whatever the machine still runs, and removes its cgroups."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    groups = [Path(mount[1], name) for mount in mounts if mount[2] == "cgroup2"]
    for group in (group for group in groups if group.exists()):
        (group / "cgroup.kill").write_text("1")
        for _ in range(100):
            inner = [path for path in group.rglob("*") if path.is_dir()]
            with suppress(OSError):
                for path in [*sorted(inner, reverse=True), group]:
                    path.rmdir()
                return
            time.sleep(0.1)
