"""A real nginx in front of a service that listens on a unix socket."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
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


class Proxy:
    """An nginx that runs; `directory` has its log and its socket to the service, `service.sock`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "service.sock"
        self.port, self.tls_port = free_port(), free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.tls_port}"

    def shipped(self) -> str:
        """The shipped configuration at this proxy's ports and paths."""
        text = replaced(SHIPPED, f"unix:{SOCKET}", f"unix:{self.socket}")
        text = replaced(text, "listen 80;\n    listen [::]:80;", f"listen 127.0.0.1:{self.port};")
        return replaced(text, "/var/log/nginx/causerie.log", f"{self.directory}/access.log")

    def with_tls(self) -> str:
        """The shipped configuration with everything that is there to be switched on."""
        certificate, key = self._certificate()
        text = re.sub(r"^( *)#(?! )", r"\1", self.shipped(), flags=re.MULTILINE)
        text = replaced(text, "listen 443 ssl", f"listen 127.0.0.1:{self.tls_port} ssl")
        text = replaced(text, "    listen [::]:443 ssl http2;\n", "")
        text = replaced(text, "/etc/ssl/certs/chat.example.pem", str(certificate))
        return replaced(text, "/etc/ssl/private/chat.example.key", str(key))

    def plain(self) -> str:
        """What an operator writes who has never heard of streams."""
        listen, target = f"listen 127.0.0.1:{self.port};", f"http://unix:{self.socket}:"
        return f"server {{ {listen} location / {{ proxy_pass {target}; }} }}"

    @asynccontextmanager
    async def running(self, configuration: str) -> AsyncGenerator[None, None]:
        assert NGINX
        user = "user root;" if os.geteuid() == 0 else ""
        file = self.directory / "nginx.conf"
        file.write_text(AROUND.format(directory=self.directory, user=user, inner=configuration))
        process = await asyncio.create_subprocess_exec(NGINX, "-c", str(file), "-p", str(self.directory))
        try:
            await self._accepting(process)
            yield
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

    async def _accepting(self, process: Process) -> None:
        for _ in range(200):
            assert process.returncode is None, (self.directory / "error.log").read_text()
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            await asyncio.sleep(0.05)
        raise TimeoutError("nginx does not listen.")

    def _certificate(self) -> tuple[Path, Path]:
        certificate, key = self.directory / "chat.pem", self.directory / "chat.key"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=chat"
        )
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
        return certificate, key
