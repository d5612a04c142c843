"""A question that comes as a form, with pictures and sounds beside it.

Source: the wire contract, section 4.1.
"""

import asyncio
import base64
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress

from msgspec.structs import replace

from service.documents.kinds import FILMS, HEAD, PICTURES, SOUNDS, extension_of, kind_of
from service.errors import BadRequest, TooLarge
from service.messages import Message, Part
from service.multipart import Part as Field
from service.multipart import Parts
from service.providers.addresses import address_of, is_named, is_public
from service.settings import Settings
from service.turns.inline import medium
from service.turns.references import WEB

MEDIA = (PICTURES.keys() | SOUNDS.keys() | FILMS.keys() | {"jpeg", "mpeg"}) - {"bmp", "tiff", "avif"}
"""Extensions of what is taken; everything else is left out, as web clients expect."""
OURS = re.compile(r"/files/(?P<bucket>[^/?#]+)/(?:media|thumbnail)/(?P<name>[^/?#]+)")
DATA = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w-]+=[^;,]*)*;base64,(?P<data>.*)", re.DOTALL)
LONGEST_ADDRESS = 8_000
MOST = 32
"""Media of one question."""

Medium = Sequence[str | None]
"""An address, a data URI or a path of ours, and the file's name."""


class Form:
    """The fields of a question as they arrive: `json` is the question, `media` what is shown with it."""

    def __init__(self, settings: Settings) -> None:
        self.json: bytes | None = None
        self.media: list[Medium] = []
        self._settings, self._left = settings, settings.files.question_limit

    async def read(self, parts: Parts) -> bytes:
        """The question as JSON. Raises `BadRequest` and `TooLarge`."""
        async with aclosing(aiter(parts)) as fields:
            async for field in fields:
                await self._take(field)
        if self.json is None:
            raise BadRequest("There is no question: send it as JSON in the field json.", "json")
        return self.json

    async def _take(self, field: Field) -> None:
        match field.name:
            case "json":
                self.json = (await field.text(self._settings.server.body_limit)).encode()
            case "files":
                if extension_of(field.filename or "") in MEDIA:
                    await self._add_file(field)
            case "media_url":
                self._add(await self._allowed(await field.text(LONGEST_ADDRESS)), "")
            case _:
                pass

    async def _add_file(self, field: Field) -> None:
        """What is called a picture and is none is left out, too."""
        content, name = await self._content(field), field.filename or ""
        kind = kind_of(content[:HEAD], name)
        if kind and kind.family != "document":
            encoded = await asyncio.to_thread(base64.b64encode, content)
            self._add(f"data:{kind.media_type};base64,{encoded.decode()}", name)

    async def _content(self, field: Field) -> bytes:
        content = bytearray()
        async with aclosing(field.chunks) as chunks:
            async for chunk in chunks:
                content += chunk
                self._left -= len(chunk)
                if self._left < 0:
                    limit = self._settings.files.question_limit
                    raise TooLarge(
                        f"The files of a question are larger than the limit of {limit} bytes"
                        " (files.question_limit). Send fewer or smaller ones.",
                        "files",
                    )
        return bytes(content)

    def _add(self, source: str, name: str) -> None:
        if len(self.media) == MOST:
            raise TooLarge(f"A question has {MOST} files at most. Send fewer at once.", "files")
        self.media.append([source, name])

    async def _allowed(self, url: str) -> str:
        """An address that the provider may be sent to; it is never fetched from here. Raises `BadRequest`."""
        clients = self._settings.clients
        with suppress(BadRequest, OSError, ValueError):
            address = address_of(url.partition("?")[0])
            if is_named(address, clients.upstream_hosts):
                return url
            if clients.upstreams and await _is_public(address.host or "", address.port or 0):
                return url
        raise BadRequest(
            f"Invalid or disallowed media_url: {url[:200]!r}. Send the file itself, or ask the operator to"
            " set clients.upstreams; addresses that are not public must be named there.",
            "media_url",
        )


async def _is_public(host: str, port: int) -> bool:
    """Whether every address behind a name is one of the public internet."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return bool(found) and all(is_public(str(address[0])) for *_, address in found)


def shown(messages: list[Message], media: Sequence[Medium]) -> list[Message]:
    """The messages, the last of them with media before its text."""
    if not messages or not (parts := [part for medium in media for part in _parts(medium)]):
        return messages
    *before, last = messages
    if isinstance(last.content, str):
        said: list[Part] = [{"type": "text", "text": last.content}] if last.content else []
    else:
        said = last.content or []
    return [*before, replace(last, content=[*parts, *said])]


def _parts(sent: Medium) -> Iterator[Part]:
    match sent:
        case [str(source), *others]:
            name = others[0] if others and isinstance(others[0], str) else ""
            if data := DATA.fullmatch(source):
                yield medium(data["type"], data["data"], name)
            elif ours := OURS.match(source):
                yield {"bucket_id": ours["bucket"], "name": ours["name"], "url": source}
            elif source.startswith(WEB) and _may_be_public(source):
                yield _elsewhere(source, name)
        case _:
            pass


def _may_be_public(url: str) -> bool:
    """As far as its text says; what it leads to is for the provider to see, for it is never fetched here."""
    try:
        host = address_of(url.partition("?")[0]).host or ""
    except BadRequest:
        return False
    return is_public(host) or (host.rpartition(".")[2].isalpha() and "." in host)


def _elsewhere(url: str, name: str) -> Part:
    """What lies at an address is fetched by the provider, if at all."""
    extension = extension_of(name or url.partition("?")[0])
    kind = "video_url" if extension in FILMS else "image_url"
    return {"type": kind, kind: {"url": url}}
