"""Turns by their id: the caller's running ones, reading on where one has stopped, and stopping."""

import re
from collections.abc import Mapping

from msgspec import Struct

from service.context import Caller, Context
from service.errors import BadRequest, Forbidden
from service.routes import route, user
from service.streaming import Stream
from service.turns.admission import Found
from service.turns.settlement import said_tokens
from service.turns.turn import Turn
from service.wire.backend import EventStream

V2 = "/backend-api/v2"
EVENT_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,9})", re.ASCII)


class Running(Struct):
    """A turn that is being answered; `since` in UTC seconds since 1970, `tokens` estimated as yet."""

    id: str
    user: str | None
    provider: str | None
    model: str | None
    since: float
    tokens: int
    readers: int


class State(Struct):
    """`ending` is null while the turn runs."""

    id: str
    ending: str | None


class After(Struct):
    """`after`: the id of the last event that was read; the header Last-Event-ID wins."""

    after: str = ""


class Whose(Struct):
    """`all`: everybody's, for the operator."""

    all: bool = False


class Resumption:
    """turns."""

    def __init__(self, context: Context) -> None:
        self._turns = context.turns
        self.routes = {
            f"{V2}/turns": route(GET=self.running),
            f"{V2}/turns/{{id}}": route(GET=self.follow),
            f"{V2}/turns/{{id}}/stop": route(POST=self.stop),
        }

    @user
    async def running(self, query: Whose, caller: Caller) -> list[Running]:
        """The caller's running turns, or everybody's."""
        if query.all and not caller.admin:
            raise Forbidden("Only the operator may see the turns of others. Leave out `all`.")
        return [_running(turn) for turn in self._turns.running(None if query.all else caller.user)]

    @user
    async def follow(
        self, id: str, query: After, headers: Mapping[str, str], caller: Caller
    ) -> Stream | None:
        """Reads a turn from its beginning, or from where the caller has stopped, to its end.

        The response header Last-Event-ID says from where. An id that the turn does not have gets a `reset`
        event, and everything from the beginning. Where nothing is left to read the answer is 204, which tells
        an EventSource to stop.
        """
        turn = await self._turns.find(id, caller.user)
        header = headers.get("Last-Event-ID")
        if not header and query.after and not EVENT_ID.fullmatch(query.after):
            raise BadRequest(f"{query.after!r} is no event's id: it looks like 1f6ea0c2-17.", "after")
        last = header or query.after
        position = _after(turn, last) if last else 0
        if turn.log.ended and position == len(turn.log.events):
            return None
        return Stream(turn, EventStream(turn.epoch), position or 0, reset=position is None)

    @user
    async def stop(self, id: str, caller: Caller) -> State:
        """Ends a turn: the upstream is closed, and what was said is kept. It may have ended already.

        The operator stops anybody's.
        """
        turn = self._anybodys(id) if caller.admin else None
        turn = turn or await self._turns.find(id, caller.user)
        if isinstance(turn, Turn):
            await turn.stopped()
        return State(turn.id, turn.ending)

    def _anybodys(self, id: str) -> Found | None:
        return next((turn for turn in self._turns.running(None) if turn.id == id), None)


def _after(turn: Found, last: str) -> int | None:
    """The index of the first event that was not read; None for an id that is none of this turn's."""
    match = EVENT_ID.fullmatch(last)
    if not match or match[1] != turn.epoch or int(match[2]) >= len(turn.log.events):
        return None
    return int(match[2]) + 1


def _running(turn: Turn) -> Running:
    provider, model = turn.answerer()
    tokens = said_tokens(turn.log.events)
    return Running(turn.id, turn.owner, provider, model, turn.record.opened_at, tokens, turn.readers)
