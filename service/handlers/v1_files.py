"""Files by their ids, for OpenAI's clients. Source: OpenAI's API reference, "Files"."""

from contextlib import aclosing
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.context import Caller, Context
from service.downloads import Download
from service.errors import BadRequest, UnsupportedMedia
from service.handlers.files import FILE, original
from service.multipart import Parts
from service.routes import form, route, user
from service.stores.buckets import File, Order
from service.stores.ledger import Record
from service.stores.names import plain
from service.turns.filing import Filing
from service.turns.uploads import Upload

LONGEST_PURPOSE = 64
STATUS = {"waiting": "uploaded", "ready": "processed", "failed": "error"}
UNSAID = "user_data"
"""The purpose of files that came by another way."""


class FileObject(Struct):
    """One file; `status` is "uploaded" until its text is there, and then "processed", or "error"."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str
    status_details: str | None = None
    expires_at: int | None = None
    object: Literal["file"] = "file"

    @classmethod
    def of(cls, file: File) -> "FileObject":
        return cls(
            id=file.id,
            bytes=file.bytes,
            created_at=int(file.created_at),
            filename=file.name,
            purpose=file.purpose or UNSAID,
            status=STATUS[file.state],
            status_details=file.reason,
        )


class FileList(Struct):
    """A page of files; the next one begins after `last_id`."""

    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"


class FileDeleted(Struct):
    """The file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class Which(Struct, frozen=True):
    """Which files, and from which one on (`after`), by the time when they came."""

    purpose: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    after: str | None = None
    order: Order = "desc"


class FileObjects:
    """files."""

    def __init__(self, context: Context) -> None:
        self._filing: Filing = context.filing
        self._buckets = context.filing.buckets
        self.routes = {
            "/v1/files": route(GET=self.files, POST=self.upload),
            "/v1/files/{id}": route(GET=self.describe, DELETE=self.delete_file),
            "/v1/files/{id}/content": route(GET=self.content),
        }

    @user
    async def files(self, query: Which, caller: Caller) -> FileList:
        """Lists the caller's files of all buckets, the newest first unless `order` is "asc"."""
        after = await self._buckets.find(caller.user, query.after) if query.after else None
        found = await self._buckets.listed(caller.user, query.purpose, after, query.limit + 1, query.order)
        page = [FileObject.of(file) for file in found[: query.limit]]
        first, last = (page[0].id, page[-1].id) if page else (None, None)
        return FileList(page, len(found) > query.limit, first, last)

    @user
    @form(file=FILE, purpose={"type": "string"})
    async def upload(self, parts: Parts, caller: Caller, record: Record) -> FileObject:
        """Stores a file, in a bucket of its own that has the file's id."""
        async with self._filing.upload(caller.user, None) as upload:
            await _receive(parts, upload)
            (file,) = await self._filing.keep(upload)
        record.kind, record.wire, record.bytes = "upload", "openai", file.bytes
        return FileObject.of(file)

    @user
    async def describe(self, id: str, caller: Caller) -> FileObject:
        """Tells what is known of a file."""
        return FileObject.of(await self._buckets.find(caller.user, id))

    @user
    async def content(self, id: str, caller: Caller) -> Download:
        """Sends a file as it was uploaded."""
        file = await self._buckets.find(caller.user, id)
        self._filing.use(caller.user, file.bucket)
        return original(self._filing, file)

    @user
    async def delete_file(self, id: str, caller: Caller) -> FileDeleted:
        """Removes a file with everything that was made of it."""
        return FileDeleted((await self._filing.remove_file(caller.user, id)).id)


async def _receive(parts: Parts, upload: Upload) -> None:
    """One file, and what it is for, in whichever order. Raises `BadRequest`."""
    purpose, file = "", None
    async with aclosing(aiter(parts)) as sent:
        async for part in sent:
            if part.name == "purpose":
                purpose = plain(await part.text(LONGEST_PURPOSE))
            elif part.name == "file":
                if file:
                    raise BadRequest("Send one file at a time.", "file")
                if not (file := await upload.add(part)):
                    raise UnsupportedMedia("Files of this kind can neither be read nor shown here.", "file")
    if not file:
        raise BadRequest("There is no file: send one in the field file.", "file")
    if not purpose:
        raise BadRequest(
            'It does not say what the file is for: send purpose, such as "user_data".', "purpose"
        )
    file.purpose = purpose
