"""A loopback server that speaks edge's protocol: its list of voices, and speech over a WebSocket.

It makes the failures that the real one makes: a wrong clock, refusals, a cut in the middle, silence.
"""

import asyncio
import io
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from html import unescape
from time import time

import edge_tts.communicate
import edge_tts.voices
import numpy as np
import pytest
import soundfile
from aiohttp import WSMsgType, web
from edge_tts.drm import DRM, generate_sec_ms_gec_v2

from service.speakers.mpeg import Frames

TICKS = 10_000_000
RATE = 24_000
WORD = 0.288  # seconds that each word takes: twelve frames
CHUNK = 720  # bytes of sound in a message: five frames
VOICES = [
    ("en-US-EmmaMultilingualNeural", "en-US", "Female"),
    ("en-US-AndrewNeural", "en-US", "Male"),
    ("ru-RU-DmitryNeural", "ru-RU", "Male"),
    ("zh-CN-liaoning-XiaobeiNeural", "zh-CN-liaoning", "Female"),
]


class EdgeServer:
    """What it does to the next connections is in `refusals` (statuses) and the attributes below it."""

    def __init__(self) -> None:
        self.refusals: list[int] = []
        self.ahead = 0.0
        """Seconds by which its clock is ahead of ours; tokens must be of its own time."""
        self.cut_after: int | None = None
        """Messages of sound after which it closes, as if all were said."""
        self.silent = False
        """It connects, and says nothing."""
        self.mute = False
        """It ends the turn without a sound."""
        self.gate: asyncio.Event | None = None
        self.gated_from = 0
        """Waited for before each message of sound from this one on."""
        self.texts: list[str] = []
        self.prosody: list[str] = []
        self.listings = self.open = self.most_open = self.refused = 0

    async def listing(self, request: web.Request) -> web.Response:
        self._admit(request)
        self.listings += 1
        listed = [
            {"ShortName": name, "Locale": locale, "Gender": gender, "FriendlyName": f"Microsoft {name}"}
            for name, locale, gender in VOICES
        ]
        return web.json_response(listed)

    async def speak(self, request: web.Request) -> web.WebSocketResponse:
        self._admit(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._serve(socket)
        finally:
            self.open -= 1
        return socket

    def _admit(self, request: web.Request) -> None:
        now = time() + self.ahead
        right = {generate_sec_ms_gec_v2(now), generate_sec_ms_gec_v2(now - 5)}
        status = self.refusals.pop(0) if self.refusals else None
        if request.query["Sec-MS-GEC"] not in right:
            status = 403
        if status:
            self.refused += 1
            headers = {"Date": web_date(now), "Retry-After": "7"}
            raise {403: web.HTTPForbidden, 503: web.HTTPServiceUnavailable}[status](headers=headers)

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        config, ssml = await socket.receive_str(), await socket.receive_str()
        assert '"wordBoundaryEnabled":"true"' in config
        assert len(ssml.encode()) < 5000
        found = re.search(r"<prosody (.*?)>(.*?)</prosody>", ssml, re.DOTALL)
        assert found
        self.prosody.append(found[1])
        self.texts.append(unescape(found[2]))
        if self.silent:
            await socket.receive()
            return
        # Whoever leaves is noticed while something is still being said.
        saying = asyncio.get_running_loop().create_task(self._say(socket, self.texts[-1]))
        while (message := await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING):
            if message.type in (WSMsgType.CLOSED, WSMsgType.ERROR):
                break
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)

    async def _say(self, socket: web.WebSocketResponse, text: str) -> None:
        await socket.send_str(_head("turn.start") + "{}")
        await socket.send_str(_head("response") + "{}")
        words = re.findall(r"\w+", text)
        if not self.mute:
            await socket.send_str(_head("audio.metadata") + json.dumps({"Metadata": [_boundary(words, 0)]}))
            await self._sound(socket, words)
        await socket.send_str(_head("turn.end") + "{}")
        await socket.close()

    async def _sound(self, socket: web.WebSocketResponse, words: list[str]) -> None:
        frames = b"".join(tone(len(words)))
        for number, start in enumerate(range(0, len(frames), CHUNK)):
            if self.gate and number >= self.gated_from:
                await self.gate.wait()
            if number == self.cut_after:
                await socket.close()
                return
            await socket.send_bytes(_binary(frames[start : start + CHUNK], "Content-Type:audio/mpeg\r\n"))
        for place in range(1, len(words)):
            metadata = {"Metadata": [_boundary(words, place)]}
            await socket.send_str(_head("audio.metadata") + json.dumps(metadata))
        await socket.send_bytes(_binary(b"", ""))


@asynccontextmanager
async def edge_server(patch: pytest.MonkeyPatch) -> AsyncGenerator[EdgeServer, None]:
    """In the place of the real one, for edge-tts in this process."""
    server = EdgeServer()
    app = web.Application()
    app.add_routes([web.get("/voices", server.listing), web.get("/speech", server.speak)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    patch.setattr(edge_tts.communicate, "WSS_URL", f"ws://127.0.0.1:{port}/speech?x=y")
    patch.setattr(edge_tts.voices, "VOICE_LIST", f"http://127.0.0.1:{port}/voices?x=y")
    patch.setattr(DRM, "clock_skew_seconds", 0.0)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        patch.delenv(name, raising=False)
    try:
        yield server
    finally:
        await runner.cleanup()


@cache
def tone(words: int) -> list[bytes]:
    """Frames of MP3 as edge sends them: 24 kHz, 48 kbit/s, bare; a tone for each word."""
    place = np.arange(round(words * WORD * RATE))
    samples = 8000 * np.sin(place * 2 * np.pi * 440 / RATE) * np.sin(place * np.pi / (WORD * RATE)) ** 2
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", RATE, 1, "MPEG_LAYER_III", format="MP3", bitrate_mode="CONSTANT", compression_level=0.75
    ) as encoded:
        encoded.write(samples.astype("int16"))
    return Frames().feed(file.getvalue())


def web_date(moment: float) -> str:
    from email.utils import formatdate

    return formatdate(moment, usegmt=True)


def _head(path: str) -> str:
    return f"X-RequestId:1\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n"


def _binary(data: bytes, kind: str) -> bytes:
    head = f"X-RequestId:1\r\n{kind}X-StreamId:2\r\nPath:audio\r\n".encode()
    return len(head).to_bytes(2, "big") + head + data


def _boundary(words: list[str], place: int) -> dict[str, object]:
    text = {"Text": words[place], "Length": len(words[place]), "BoundaryType": "WordBoundary"}
    times = {"Offset": round(place * WORD * TICKS), "Duration": round(WORD * TICKS)}
    return {"Type": "WordBoundary", "Data": times | {"text": text}}
