"""Files that are in the question itself: told apart, read, and never kept."""

import asyncio
import base64
import tempfile
from hashlib import sha256
from pathlib import Path

from service.documents.extraction import Document
from service.documents.kinds import HEAD, Kind, kind_of
from service.errors import BadRequest, DocumentRefused, TooLarge
from service.messages import Part
from service.providers.provider import Provider
from service.stores.buckets import File, new_id
from service.stores.names import file_name
from service.turns.excerpts import Paper
from service.turns.uploads import Reader

SOUNDS = frozenset({"wav", "mp3"})
"""What OpenAI's messages have as sounds."""


async def read(data: str, name: str | None, provider: Provider, reader: Reader, longest: int) -> Paper:
    """A file from its base64, with what it says, unless the provider reads it by itself.

    `longest` is what a document may have, in characters. Raises `BadRequest` and `DocumentRefused`.
    """
    content = decoded(data)
    file = _sent(content, name)
    if provider.reads(said := _media_type(data)):
        file.media_type = said
        return Paper(file, untold=True)
    kind = kind_of(content[:HEAD], file.name)
    if kind is None:
        raise DocumentRefused(f"The file {file.name} cannot be read here: nobody knows its kind.", "messages")
    file.kind, file.media_type = kind.family, kind.media_type
    if not file.is_document or provider.reads(kind.media_type):
        return Paper(file, untold=True)
    document = await _document(content, file, kind, reader)
    file.characters = sum(len(page.text) for page in document.pages)
    if file.characters > longest:
        raise TooLarge(
            f"{file.name} has more than {longest} characters, the limit of a document in the question"
            " (files.inline_text). Upload it (POST /v1/files), and name its id.",
            "messages",
        )
    return Paper(file, document)


def decoded(data: str) -> bytes:
    """Base64, alone or in a data URI; raises `BadRequest`."""
    try:
        return base64.b64decode(bare(data), validate=True)
    except ValueError as error:
        raise BadRequest("A file's data is not base64. Attach the file again.", "messages") from error


def _media_type(data: str) -> str:
    """What a data URI says that it has; "" where nothing is said."""
    return data.removeprefix("data:").partition(";")[0] if data.startswith("data:") else ""


def bare(data: str) -> str:
    """Base64 without what stands before it in a data URI."""
    return data.partition(";base64,")[2] if data.startswith("data:") else data


def medium(media_type: str, data: str, name: str | None) -> Part:
    """A picture, a sound, a film or a file as a part of a message; `data` is base64."""
    family, _, _ = media_type.partition("/")
    format = (name or "").rpartition(".")[2].lower()
    url = f"data:{media_type};base64,{data}"
    if family == "audio" and format in SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": data, "format": format}}
    if family == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    if family == "video":
        return {"type": "video_url", "video_url": {"url": url}}
    named = {"filename": name} if name else {}
    return {"type": "file", "file": {"file_data": url, **named}}


async def _document(content: bytes, file: File, kind: Kind, reader: Reader) -> Document:
    with tempfile.TemporaryDirectory(prefix="causerie-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "document"
        await asyncio.to_thread(path.write_bytes, content)
        return await reader.text(path, file.name, kind)


def _sent(content: bytes, name: str | None) -> File:
    """Nobody's, and in no bucket."""
    return File(
        id=new_id(),
        user="",
        bucket="",
        name=file_name(name, ""),
        kind="document",
        media_type="",
        bytes=len(content),
        sha256=sha256(content).hexdigest(),
    )
