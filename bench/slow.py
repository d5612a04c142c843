"""A reader that takes 2 KB/s, whatever it is sent."""

import asyncio
import socket

PIECE = 1_000
PAUSE_SECONDS = 0.5


async def read_slowly(port: int, request: bytes) -> None:
    """Asks, and reads until it is cancelled or the other side has had enough."""
    loop = asyncio.get_running_loop()
    with socket.socket() as reader:
        reader.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE
        )  # what the kernel keeps is not waited for
        reader.setblocking(False)
        try:
            await loop.sock_connect(reader, ("127.0.0.1", port))
            await loop.sock_sendall(reader, request)
            while await loop.sock_recv(reader, PIECE):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE_SECONDS)
        except OSError:
            return  # it is the others who are measured
