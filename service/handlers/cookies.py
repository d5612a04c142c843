"""upload_cookies, for the web clients' sake. Source: the wire contract, sections 12 and 15.7."""

from contextlib import aclosing

from service.context import Caller, Context
from service.documents.kinds import extension_of
from service.errors import BadRequest, Forbidden
from service.handlers.files import FILE, V2
from service.multipart import Parts
from service.replies import Html
from service.routes import form, route, user
from service.stores.buckets import File
from service.stores.ledger import Record
from service.turns.uploads import Upload

TAKEN = frozenset({"json", "har"})
PURPOSE = "cookies"


class Cookies:
    """upload_cookies."""

    def __init__(self, context: Context) -> None:
        self._filing, self._allowed = context.filing, context.settings.files.cookies
        self.routes = {f"{V2}/upload_cookies": route(POST=self.upload_cookies)}

    @user
    @form(file=FILE)
    async def upload_cookies(self, parts: Parts, caller: Caller, record: Record) -> Html:
        """Keeps a file of cookies (.json, .har) for the caller, where the operator allows that.

        It is one of his files, and nothing more: no provider is ever shown it.
        """
        if not self._allowed:
            raise Forbidden("Cookies are not taken here. The operator can allow it (files.cookies).")
        async with self._filing.upload(caller.user, None) as upload:
            file = await _received(parts, upload)
            file.state, file.purpose = "ready", PURPOSE  # nobody has to read what it says
            await self._filing.keep(upload)
        record.kind, record.wire, record.bytes = "upload", "backend", file.bytes
        return Html("File saved")


async def _received(parts: Parts, upload: Upload) -> File:
    """The one file of a form. Raises `BadRequest`."""
    found: File | None = None
    async with aclosing(aiter(parts)) as sent:
        async for part in sent:
            if part.name != "file" or not part.filename:
                continue
            if found:
                raise BadRequest("Send one file at a time.", "file")
            if extension_of(part.filename) in TAKEN:
                found = await upload.add(part)
            if found is None or not found.is_document:
                raise BadRequest("Not supported file: send one that ends in .json or .har.", "file")
    if found is None:
        raise BadRequest("No selected file: send one in the field file.", "file")
    return found
