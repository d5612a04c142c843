"""What is kept of one person: handed out to him and to the operator, and removed by the operator."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from service.context import Caller, Context
from service.errors import NotFound
from service.replies import Lines
from service.routes import admin, route, user
from service.stores.ledger import storable
from service.stores.people import Forgotten, People, Row

V2 = "/backend-api/v2"


class Persons:
    """persons."""

    def __init__(self, context: Context) -> None:
        self._turns, self._filing = context.turns, context.filing
        self._people = People(context.database, context.filing.blobs, context.chats)
        self._speech = context.speech
        self.routes = {
            f"{V2}/persons/{{name}}": route(DELETE=self.remove),
            f"{V2}/persons/{{name}}/export": route(GET=self.export),
        }

    @user
    async def export(self, name: str, caller: Caller) -> Lines:
        """All that is kept of a user, a JSON object a line: turns, files, records, keys without secrets."""
        if not caller.admin and caller.user != name:
            raise NotFound(f"Nothing of {name!r} is yours to see. Ask for your own name.", "name")
        return Lines(_one_by_one(self._people.export(storable(name))), "application/x-ndjson", "person.jsonl")

    @admin
    async def remove(self, name: str) -> Forgotten:
        """Stops a user's turns and removes what he asked, was told and uploaded; his records lose his name.

        His keys stay: revoke them first, or there may soon be something of him again.
        """
        for turn in self._turns.running(name):
            await self._turns.forget(turn)
        await self._speech.forget(name)
        files = await self._filing.forget(name)
        forgotten = await self._people.forget(storable(name))
        forgotten.files += files
        return forgotten


async def _one_by_one(rows: AsyncGenerator[Row, None]) -> AsyncGenerator[Sequence[Row], None]:
    """A turn may be large."""
    async with aclosing(rows):
        async for row in rows:
            yield [row]
