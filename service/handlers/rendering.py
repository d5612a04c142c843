"""Markdown for the page: what a model wrote, as HTML that is safe to show."""

import asyncio

from msgspec import Struct

from service.context import Context
from service.documents import markdown
from service.routes import route, user


class Source(Struct):
    """Markdown."""

    text: str


class Rendered(Struct):
    """Clean HTML; it runs nothing and asks no other host."""

    html: str


class Rendering:
    """render."""

    def __init__(self, context: Context) -> None:
        self.routes = {"/backend-api/v2/render": route(POST=self.render)}

    @user
    async def render(self, body: Source) -> Rendered:
        """Markdown as safe HTML."""
        return Rendered(await asyncio.to_thread(markdown.html, body.text))
