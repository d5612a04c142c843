"""What is measured: the service, and what it is compared with. All of it on loopback."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import Program, await_answer, free_port, running

NGINX = """
worker_processes 1; pid nginx.pid; error_log stderr warn; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
"""
PROVIDER = """
[[providers]]
name = "Bench"
url = "http://127.0.0.1:{upstream}/v1"
local = true
models = ["bench"]
"""


@contextmanager
def service(folder: Path, *, embedded: bool, upstream: int = 0) -> Iterator[Program]:
    """The service with its state in `folder`; a provider is at port `upstream`. It may not answer yet."""
    folder.mkdir(parents=True, exist_ok=True)
    settings, port = folder / "settings.toml", free_port()
    settings.write_text(PROVIDER.format(upstream=upstream) if upstream else "")
    variables = {
        "CAUSERIE_CONFIG": str(settings),
        "CAUSERIE_STATE_DIR": str(folder / "state"),
        "CAUSERIE_PORT": str(port),
        "CAUSERIE_EMBEDDED_ENABLED": str(embedded).lower(),
        "CAUSERIE_LOG_LEVEL": "warning",
    }
    with running([sys.executable, "-m", "service"], port, **variables) as program:
        yield program


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[Program | None]:
    """The plainest proxy there is: no buffers, connections kept. None where it is not installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    port, configuration = free_port(), folder / "nginx.conf"
    configuration.write_text(NGINX.format(upstream=upstream, port=port))
    paths = ["-p", str(folder), "-e", "stderr", "-c", str(configuration)]
    with running([binary, *paths, "-g", "daemon off;"], port) as program:
        await_answer(program, "/v1/models")
        yield program
