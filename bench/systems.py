"""What is measured: the service, and what it is compared with. All of it on loopback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import ENVIRONMENT, ROOT, Program, free_port, running

NGINX = """
worker_processes 1; pid nginx.pid; error_log stderr warn; worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  INSIDE
}
"""
PLAIN = """
upstream provider { server 127.0.0.1:UPSTREAM; keepalive 2048; keepalive_requests 1000000; }
server {
  listen 127.0.0.1:PORT backlog=4096;
  location / {
    proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_read_timeout 300s;
  }
}
"""
PROVIDER = """
[[providers]]
name = "Bench"
url = "http://127.0.0.1:{upstream}/v1"
local = true
models = ["bench"]
prices = {{ "*" = {{ prompt = 0.15, completion = 0.6 }} }}
"""
PLENTY = {
    "requests-per-minute": 10**9,
    "tokens-per-minute": 10**12,
    "turns-at-once": 10**6,
    "budget-day": 10**6,
    "budget-month": 10**6,
}
"""Limits that nobody reaches, and that are counted all the same."""
LIMITS = "".join(
    f"[{section}]\n" + "".join(f"{name.replace('-', '_')} = {limit}\n" for name, limit in PLENTY.items())
    for section in ("limits", "user_limits")
)


@contextmanager
def service(
    folder: Path, *, embedded: bool, upstream: int = 0, socket: Path | None = None, limited: bool = False
) -> Iterator[Program]:
    """The service with its state in `folder`; a provider is at port `upstream`. It may not answer yet.

    With a `socket` it listens there, and at no port; `limited`: it wants a key, and counts everything for the
    key, its user and the service.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings, port = folder / "settings.toml", free_port()
    limits = LIMITS if limited else ""
    settings.write_text(limits + (PROVIDER.format(upstream=upstream) if upstream else ""))
    variables = {
        "CAUSERIE_CONFIG": str(settings),
        "CAUSERIE_STATE_DIR": str(folder / "state"),
        "CAUSERIE_PORT": str(port),
        "CAUSERIE_SOCKET": str(socket or ""),
        "CAUSERIE_EMBEDDED_ENABLED": str(embedded).lower(),
    }
    key = new_key(variables) if limited else ""
    with running([sys.executable, "-m", "service"], port, folder / "log", **variables) as program:
        yield program._replace(key=key)


def new_key(variables: dict[str, str]) -> str:
    """A key with limits, as an operator makes one."""
    options = [f"--{name}={limit}" for name, limit in PLENTY.items()]
    command = [sys.executable, "-m", "service", "keys", "create", "--user=bench", *options]
    pipe = subprocess.PIPE
    made = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT | variables, stdout=pipe, stderr=pipe, check=True
    )
    return made.stdout.decode().strip()


def plain(upstream: int) -> str:
    """The plainest proxy there is: no buffers, connections kept."""
    return PLAIN.replace("UPSTREAM", str(upstream))


def shipped(socket: Path) -> str:
    """What the project ships, in front of the service at a unix socket."""
    text = (ROOT / "config/nginx/causerie.conf").read_text()
    text = text.replace("/run/causerie/causerie.sock", str(socket))
    text = text.replace("listen 80;\n    listen [::]:80;", "listen 127.0.0.1:PORT backlog=4096;")
    return text.replace("access_log /var/log/nginx/causerie.log causerie;", "access_log off;")


def nginx_binary() -> str | None:
    """None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(folder: Path, configuration: str) -> Iterator[Program | None]:
    """nginx with this inside `http { }`, at the PORT in it. None where it is not installed."""
    binary = nginx_binary()
    if binary is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    port, file = free_port(), folder / "nginx.conf"
    text = NGINX.replace("INSIDE", configuration).replace("PORT", str(port))
    as_root = "user root;\n" if os.geteuid() == 0 else ""  # else nobody may use the service's socket
    file.write_text(as_root + text)
    paths = ["-p", str(folder), "-e", "stderr", "-c", str(file)]
    with running([binary, *paths, "-g", "daemon off;"], port, folder / "log") as program:
        yield program
