"""The pages: plain files, read by the browser as they are."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from service.context import Context
from service.errors import NotFound
from service.handlers.headers import wants_page
from service.replies import File, Text
from service.routes import anyone, route

WEB = Path(__file__).parent.parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing that an answer contains can run, or reach another host."""
UNSEEN = {"X-Robots-Tag": "noindex, nofollow", "Cache-Control": "no-store"}
"""No search engine lists it, nobody keeps it."""


class Pages:
    """The pages and their files."""

    def __init__(self, context: Context) -> None:
        self._files = {file.name: file for file in WEB.iterdir() if file.is_file()}
        self.routes = {
            "/": route(GET=self.home),
            "/chat": route(GET=self.towards_chat),
            "/chat/": route(GET=self.chat),
            "/chat/{id}": route(GET=self.one_chat),
            "/keys": route(GET=self.towards_keys),
            "/keys/": route(GET=self.keys_page),
            "/share/{id}": route(GET=self.shared),
            "/stats": route(GET=self.towards_statistics),
            "/stats/": route(GET=self.statistics),
            "/web/{name}": route(GET=self.file),
        }

    @anyone
    async def home(self, headers: Mapping[str, str]) -> File | Text:
        """The page for a browser, a word for everybody else."""
        return self._sent("index.html") if wants_page(headers) else Text("Backend API Home")

    @anyone
    async def chat(self) -> File:
        """The page; with `#` and the id of a share it goes on to what is shared."""
        return self._sent("index.html")

    @anyone
    async def towards_chat(self, headers: Mapping[str, str]) -> File:
        """The same page; browsers that left out the slash are sent to its address."""
        if wants_page(headers):
            raise web.HTTPMovedPermanently("/chat/")
        return await self.chat()

    @anyone
    async def one_chat(self, id: str) -> File:
        """The page, which opens the chat of this id where it is the reader's."""
        return self._sent("index.html")

    @anyone
    async def keys_page(self) -> File:
        """The page of keys, for the operator; it asks for one where one is needed."""
        return self._sent("keys.html")

    @anyone
    async def towards_keys(self, headers: Mapping[str, str]) -> File:
        """The same page; browsers that left out the slash are sent to its address."""
        if wants_page(headers):
            raise web.HTTPMovedPermanently("/keys/")
        return await self.keys_page()

    @anyone
    async def shared(self, id: str) -> File:
        """The page of a shared chat, which asks for that itself: the same whether there is one or not."""
        return self._sent("shared.html", UNSEEN)

    @anyone
    async def statistics(self) -> File:
        """The page of what was used; it asks for a key where one is needed."""
        return self._sent("stats.html")

    @anyone
    async def towards_statistics(self, headers: Mapping[str, str]) -> File:
        """The same page; browsers that left out the slash are sent to its address."""
        if wants_page(headers):
            raise web.HTTPMovedPermanently("/stats/")
        return await self.statistics()

    @anyone
    async def file(self, name: str) -> File:
        """A file of a page."""
        if name not in self._files:
            raise NotFound(f"The page has no file {name!r}.")
        return self._sent(name)

    def _sent(self, name: str, others: Mapping[str, str] = {}) -> File:
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, **others}
        return File(self._files[name], headers=headers)
