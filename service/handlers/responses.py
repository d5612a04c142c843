"""Responses: OpenAI's newer interface, over the same turns as everything else.

Source: OpenAI's API reference, "Responses".
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.context import Caller, Context
from service.errors import BadRequest, NotFound
from service.handlers.clients import Clients
from service.handlers.headers import terms
from service.handlers.responses_input import items, messages
from service.handlers.responses_request import CreateResponse, Question
from service.messages import Ask, tidied
from service.routes import route, user
from service.stores.ledger import Record
from service.streaming import Stream, Whole
from service.turns.admission import Found
from service.turns.turn import Turn
from service.wire.response_object import Response
from service.wire.responses import ResponseEvents, response

LONGEST_CHAIN = 1000
PREFIX = "resp_"

_question = msgspec.json.Decoder(Question).decode


class PreviousNotFound(BadRequest):
    """OpenAI's code for it, by which clients know that they have to send everything anew."""

    code = "previous_response_not_found"


class Reading(Struct, frozen=True):
    """With `stream` events from the beginning, or those after the number `starting_after`."""

    stream: bool = False
    starting_after: Annotated[int, Meta(ge=0)] | None = None


class Page(Struct, frozen=True):
    """Which items: `after` the one with this id."""

    order: Literal["asc", "desc"] = "desc"
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class InputItems(Struct):
    """A page of what was asked; `has_more` where another one follows."""

    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class Deleted(Struct):
    """What is there no more."""

    id: str
    object: str = "response"
    deleted: bool = True


class Responses:
    """responses."""

    def __init__(self, context: Context) -> None:
        self._turns, self._limits = context.turns, context.settings.stream
        self._clients = Clients(context)
        self.routes = {
            "/v1/responses": route(POST=self.create),
            "/v1/responses/{id}": route(GET=self.read, DELETE=self.delete),
            "/v1/responses/{id}/cancel": route(POST=self.cancel),
            "/v1/responses/{id}/input_items": route(GET=self.input_items),
        }

    @user
    async def create(
        self, body: CreateResponse, headers: Mapping[str, str], caller: Caller, record: Record
    ) -> Stream | Whole | Response:
        """Answers, streamed or not; with `background` the answer goes on by itself.

        `previous_response_id` goes on from one of the caller's own that was stored. Where an answer
        goes on without a reader, in the background or as X-On-Disconnect says, a stream that broke is read on
        by GET with `stream` and `starting_after`.
        """
        body.check()
        record.wire = "responses"
        question = body.question()
        ask, provider = await self._asked(body, headers, caller)
        kept = terms(
            headers,
            self._limits.grace,
            body,
            "detach" if body.background else None,
            request=None if body.store is False else msgspec.json.encode(question),
        )
        turn = await self._turns.start(ask, provider, record, kept)
        if body.stream:
            wire = ResponseEvents(turn.id, turn.opened_at, body)
            return Stream(turn, wire, patience=self._limits.first_event_timeout)
        if body.background:
            return _told(turn, question)
        return Whole(turn, partial(response, turn=turn.id, created_at=turn.opened_at, asked=body))

    @user
    async def read(self, id: str, query: Reading, caller: Caller) -> Stream | Response:
        """A response as far as it has come, or its events: those that are still to come as well."""
        turn, question = await self._stored(id, caller)
        if not query.stream:
            return _told(turn, question)
        last = -1 if query.starting_after is None else query.starting_after
        return Stream(turn, ResponseEvents(turn.id, turn.opened_at, question.asked, last))

    @user
    async def cancel(self, id: str, caller: Caller) -> Response:
        """Ends a response: the upstream is closed, and what was said is kept. It may have ended already."""
        turn, question = await self._stored(id, caller)
        if isinstance(turn, Turn):
            await turn.stopped()
        return _told(turn, question)

    @user
    async def delete(self, id: str, caller: Caller) -> Deleted:
        """Forgets a response; one that is being answered is ended. What it used stays in the ledger."""
        turn, _ = await self._stored(id, caller)
        await self._turns.forget(turn)
        return Deleted(PREFIX + turn.id)

    @user
    async def input_items(self, id: str, query: Page, caller: Caller) -> InputItems:
        """What a response was asked, without what it went on from."""
        turn, question = await self._stored(id, caller)
        listed = [
            {"id": f"item_{turn.id}_{index}", "status": "completed", **item}
            for index, item in enumerate(items(question.asked.input))
        ]
        if query.order == "desc":
            listed.reverse()
        ids = [item["id"] for item in listed]
        start = ids.index(query.after) + 1 if query.after in ids else 0
        page = slice(start, start + query.limit)
        here = ids[page]
        more = start + query.limit < len(ids)
        return InputItems(listed[page], here[0] if here else None, here[-1] if here else None, more)

    async def _asked(
        self, body: CreateResponse, headers: Mapping[str, str], caller: Caller
    ) -> tuple[Ask, str | None]:
        """The question, and who is asked. What earlier responses were instructed is not carried over."""
        own = items(body.input)
        if not own:
            raise BadRequest('There is nothing to answer: send "input" with some text in it.', "input")
        earlier = await self._earlier(body.previous_response_id, caller)
        instructions = [{"type": "message", "role": "system", "content": body.instructions}]
        brought = self._clients.brought(body.provider, {}, body.api_key, body.base_url)
        ask = Ask(
            messages=tidied(messages([*(instructions if body.instructions else ()), *earlier], own)),
            model=body.model or None,
            generation=body.generation(),
            keys=brought.keys,
            base_url=brought.base_url,
            web_search=body.searches(),
            continuation=body.continuation,
        )
        return ask, brought.provider

    async def _earlier(self, id: str | None, caller: Caller) -> list[dict[str, Any]]:
        """What was asked and answered up to a response, from the beginning; raises `BadRequest`."""
        links: list[list[dict[str, Any]]] = []
        while id:
            if len(links) == LONGEST_CHAIN:
                raise BadRequest(
                    f"More than {LONGEST_CHAIN} responses go before. Begin anew with what matters of them.",
                    "previous_response_id",
                )
            turn, question = await self._previous(id, caller)
            output = msgspec.to_builtins(_told(turn, question).output)
            links.append([*items(question.asked.input), *output])
            id = question.asked.previous_response_id
        return [item for link in reversed(links) for item in link]

    async def _previous(self, id: str, caller: Caller) -> tuple[Found, Question]:
        try:
            turn, question = await self._stored(id, caller)
        except NotFound as error:
            raise PreviousNotFound(
                f"Previous response with id {id!r} not found: it may have expired, been deleted, or not been"
                " stored. Send the whole input.",
                "previous_response_id",
            ) from error
        if not turn.log.ended:
            raise BadRequest(
                f"Response {id!r} is still being answered. Go on when it has ended, or cancel it.",
                "previous_response_id",
            )
        return turn, question

    async def _stored(self, id: str, caller: Caller) -> tuple[Found, Question]:
        """A response of the caller's; raises `NotFound`, also for a turn that is none or was not stored."""
        try:
            turn = await self._turns.find(id.removeprefix(PREFIX), caller.user)
            return turn, _question(turn.request or b"")
        except (NotFound, msgspec.DecodeError) as error:
            raise NotFound(f"There is no response {id!r}; it may have expired.", "id") from error


def _told(turn: Found, question: Question) -> Response:
    return response(turn.log.events, turn.id, turn.opened_at, question.asked, turn.log.ended)
