"""Buckets and the files in them, as the web clients know them. Source: the wire contract, section 5."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from service.context import Caller, Context
from service.downloads import Download
from service.errors import BadRequest, DocumentRefused, NotFound, ServiceError
from service.handlers.create import YES
from service.handlers.headers import legacy
from service.multipart import Parts
from service.replies import Pieces
from service.routes import form, route, user
from service.stores.blobs import whole
from service.stores.buckets import Bucket, File
from service.stores.ledger import Record
from service.stores.names import bucket_id, file_name
from service.turns.filing import Filing

V2 = "/backend-api/v2"
FIELD = "files"
FILE = {"type": "string", "format": "binary"}
EVENTS = "text/event-stream; charset=utf-8"
STREAMED = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
HEARTBEAT = b": ping\n\n"
THUMBNAIL = "image/jpeg"


class Medium(Struct, omit_defaults=True):
    """A picture, with its size in pixels, or what is heard or seen; `duration` in seconds."""

    name: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None


class Added(Struct):
    """The names of what an upload has added to a bucket: documents, and media.

    Where every client is one of before (`server.legacy`), media are their names alone.
    """

    bucket_id: str
    files: list[str]
    media: list[Medium | str]


class Removed(Struct):
    """What the web clients want to hear."""

    message: str = "Bucket deleted successfully"


class Holdings(Struct):
    """A user's buckets, those last used first; bytes that are `used`, of the `quota` (null: no limit)."""

    buckets: list[Bucket]
    used: int
    quota: int | None


class Reading(Struct, frozen=True):
    """How a bucket is read. `delete_files` is accepted and has no effect: reading deletes nothing.

    `refine_chunks_with_spacy` has no effect but an event more.
    """

    delete_files: str = ""
    refine_chunks_with_spacy: str = ""


class Files:
    """files, buckets."""

    def __init__(self, context: Context) -> None:
        self._filing = context.filing
        self._heartbeat = context.settings.stream.heartbeat
        self._legacy = context.settings.server.legacy
        self.routes = {
            f"{V2}/files": route(GET=self.holdings),
            f"{V2}/buckets": route(GET=self.names),
            f"{V2}/files/{{bucket}}": route(GET=self.contents, POST=self.add, DELETE=self.remove_bucket),
            f"{V2}/files/{{bucket}}/stream": route(GET=self.progress),
            "/files/{bucket}/{file_type}/{name}": route(GET=self.hand_out),
        }

    @user
    async def holdings(self, caller: Caller) -> Holdings:
        """Lists the caller's buckets, the thousand last used, and says how much room his files take."""
        space = self._filing.space
        buckets = await self._filing.buckets.of(caller.user)
        return Holdings(buckets, space.used(caller.user), space.user_quota or None)

    @user
    async def names(self, caller: Caller) -> list[str]:
        """Lists the ids of the caller's buckets."""
        return [bucket.id for bucket in await self._filing.buckets.of(caller.user)]

    @user
    @form(files={"type": "array", "items": FILE})
    async def add(
        self, bucket: str, parts: Parts, headers: Mapping[str, str], caller: Caller, record: Record
    ) -> Added:
        """Adds files to a bucket, which need not exist yet: all of them, or none.

        What nobody here could read or show is skipped. A name that is taken gets a number, as in
        `notes-2.txt`; the same file once more changes nothing.
        """
        id = bucket_id(bucket)
        async with self._filing.upload(caller.user, id) as upload, aclosing(aiter(parts)) as sent:
            async for part in sent:
                if part.name == FIELD:
                    await upload.add(part)
            kept = await self._filing.keep(upload)
        if kept:
            record.kind, record.wire, record.bytes = "upload", "backend", sum(file.bytes for file in kept)
        media = [file for file in kept if not file.is_document]
        old = legacy(headers, self._legacy)
        return Added(
            bucket_id=id,
            files=[file.name for file in kept if file.is_document],
            media=[
                file.name if old else Medium(file.name, file.width, file.height, file.duration)
                for file in media
            ],
        )

    @user
    async def contents(
        self, bucket: str, query: Reading, headers: Mapping[str, str], caller: Caller
    ) -> Pieces:
        """Sends the text of a bucket's documents, once all have been read.

        If Accept says "text/event-stream" it sends what `stream` does.
        """
        if "text/event-stream" in headers.get("Accept", ""):
            return self._events(bucket, query, caller)
        return Pieces(self._text(caller.user, bucket_id(bucket)), "text/plain; charset=utf-8")

    @user
    async def progress(self, bucket: str, query: Reading, caller: Caller) -> Pieces:
        """Tells as server-sent events how far a bucket's documents have been read.

        Each has the name, the bytes and the pages of one, and the characters of all so far (`load`, `size`);
        `download` counts the pages that were fetched, `media` names what is no document, `failed` what could
        not be read, `done` is the last.
        """
        return self._events(bucket, query, caller)

    @user
    async def remove_bucket(self, bucket: str, caller: Caller) -> Removed:
        """Removes a bucket with everything that is in it, and what else goes by its id."""
        await self._filing.release(caller.user, bucket_id(bucket))
        return Removed()

    @user
    async def hand_out(self, bucket: str, file_type: str, name: str, caller: Caller) -> Download:
        """Sends a file as it was uploaded (`media`), or a small picture of it (`thumbnail`)."""
        if file_type not in {"media", "thumbnail"}:
            raise BadRequest("Invalid file type. Ask for media or thumbnail.", "file_type")
        id = bucket_id(bucket)
        found = await self._filing.buckets.named(caller.user, id, file_name(name, ""))
        self._filing.use(caller.user, id)
        if file_type == "thumbnail" and (small := await thumbnail(self._filing, found)):
            return small
        return original(self._filing, found)

    def _events(self, bucket: str, query: Reading, caller: Caller) -> Pieces:
        refined = query.refine_chunks_with_spacy.lower() in YES
        return Pieces(self._progress(caller.user, bucket_id(bucket), refined), EVENTS, STREAMED)

    async def _progress(self, user: str, bucket: str, refined: bool) -> AsyncGenerator[bytes, None]:
        """What has been read since the last time, as events; what fails is an event once there was one."""
        self._filing.use(user, bucket)
        progress = Progress()
        try:
            async with aclosing(self._filing.progress(user, bucket, self._heartbeat)) as changes:
                async for files in changes:
                    yield progress.of(files) or HEARTBEAT
        except ServiceError as error:
            if not progress.begun:
                raise
            yield event(error={"message": error.message})
        else:
            yield progress.end(refined)

    async def _text(self, user: str, bucket: str) -> AsyncGenerator[bytes, None]:
        """Raises `DocumentRefused` where nothing of what there is could be read."""
        self._filing.use(user, bucket)
        async with aclosing(self._filing.progress(user, bucket, self._heartbeat)) as changes:
            *_, files = [files async for files in changes]
        documents = [file for file in files if file.is_document]
        if documents and all(file.state == "failed" for file in documents):
            raise DocumentRefused(documents[0].reason or "The file cannot be read.", "files")
        async with aclosing(self._filing.texts.bucket(documents)) as texts:
            async for text in texts:
                yield text.encode(errors="replace")


class Progress:
    """What is told of a bucket while its documents are being read."""

    def __init__(self) -> None:
        self.begun = False
        self._told: set[str] = set()
        self._size = self._fetched = 0
        self._reason: str | None = None

    def of(self, files: Sequence[File]) -> bytes:
        """The events for the files that have not been told; none for those that wait."""
        self.begun = True
        news = [file for file in files if file.id not in self._told and file.state != "waiting"]
        self._told.update(file.id for file in news)
        return b"".join(self._event(file) for file in news)

    def end(self, refined: bool) -> bytes:
        """The last events; where nothing could be read, why."""
        if self._reason and not self._size:
            return event(error={"message": self._reason})
        refinement = event(action="refine", size=self._size) if refined else b""
        return refinement + event(action="delete_files") + event(action="done", size=self._size)

    def _event(self, file: File) -> bytes:
        if file.source is None:
            return self._state(file)
        self._fetched += 1
        return event(action="download", count=self._fetched) + self._state(file)

    def _state(self, file: File) -> bytes:
        if not file.is_document:
            return event(action="media", filename=file.name)
        if file.state == "failed":
            self._reason = self._reason or file.reason
            return event(action="failed", filename=file.name, message=file.reason)
        self._size += file.characters or 0
        return event(action="load", size=self._size, filename=file.name, bytes=file.bytes, pages=file.pages)


def event(**content: Any) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(content)


def original(filing: Filing, file: File) -> Download:
    """The file as it was uploaded."""
    read = partial(filing.blobs.read, file.blob)
    return Download(file.name, file.media_type, file.bytes, file.sha256[:32], file.created_at, read)


async def thumbnail(filing: Filing, file: File) -> Download | None:
    """A small picture of it, where there is one."""
    with suppress(NotFound):
        data = await whole(filing.blobs, file.thumbnail_blob)

        async def read(start: int, end: int | None) -> AsyncGenerator[bytes, None]:
            yield data[start:end]

        return Download(file.name, THUMBNAIL, len(data), f"{file.sha256[:32]}-small", file.created_at, read)
    return None
