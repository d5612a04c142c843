"""A real nginx in front of a service that listens on a unix socket."""

import asyncio
import re
import shutil
import socket
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "config/nginx/causerie.conf").read_text()
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
SOCKET = "/run/causerie/causerie.sock"

AROUND = """
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
{user}
events {{}}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    access_log off;
    {inner}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def replaced(text: str, old: str, new: str) -> str:
    """`str.replace` that does not miss."""
    assert old in text, old
    return text.replace(old, new)
