"""The pages: plain files, read by the browser as they are."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from service.context import Context
from service.errors import NotFound
from service.handlers.headers import wants_page
from service.routes import File, Text, anyone, route

WEB = Path(__file__).parent.parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self';"
    " connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
"""Nothing that an answer contains can run, or reach another host."""


class Pages:
    """The pages and their files."""

    def __init__(self, context: Context) -> None:
        self._files = {file.name: file for file in WEB.iterdir() if file.is_file()}
        self.routes = {
            "/": route(GET=self.home),
            "/stats": route(GET=self.towards_statistics),
            "/stats/": route(GET=self.statistics),
            "/web/{name}": route(GET=self.file),
        }

    @anyone
    async def home(self, headers: Mapping[str, str]) -> File | Text:
        """The page for a browser, a word for everybody else."""
        return self._sent("index.html") if wants_page(headers) else Text("Backend API Home")

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

    def _sent(self, name: str) -> File:
        return File(
            self._files[name], headers={"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        )
