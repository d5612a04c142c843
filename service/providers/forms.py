"""A file that is sent to an upstream, with what is asked of it: as a form. Source: RFC 7578."""

from collections.abc import Sequence

import aiohttp
from msgspec import Struct


class File(Struct, frozen=True):
    """A file as a client has sent it."""

    name: str
    content_type: str
    data: bytes


class Form(Struct, frozen=True):
    """What is asked for the `file`: the model, and further fields, of which some may come more than once."""

    file: File
    model: str | None
    fields: Sequence[tuple[str, str]] = ()

    async def encoded(self, model: str | None) -> tuple[str, bytes]:
        """Its content type and its bytes, with the upstream's own name of the model."""
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("file", self.file.data, filename=self.file.name, content_type=self.file.content_type)
        for name, text in [("model", model), *self.fields]:
            if text:
                form.add_field(name, text)
        payload = form()
        return payload.headers["Content-Type"], await payload.as_bytes()


class Said(Struct, frozen=True):
    """What an upstream has answered, whatever kind of text that is."""

    content_type: str
    data: bytes
