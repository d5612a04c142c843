"""A chat of the AI SDK's `useChat`, over the same turns as everything else.

Source: AI SDK, `DefaultChatTransport`, "Chatbot Resume Streams".
"""

from collections.abc import Mapping

import msgspec

from service.context import Caller, Context
from service.handlers.clients import Brought, Clients, Key
from service.handlers.headers import terms
from service.handlers.uimessages import messages
from service.messages import Ask, Generation, Message, checked
from service.routes import route, user
from service.stores.ledger import Record
from service.streaming import Stream
from service.turns.admission import Found
from service.turns.turn import Turn
from service.wire.uimessages import MessageParts
from service.wire.uiparts import UIMessage


class UIChatRequest(Generation, frozen=True, kw_only=True):
    """What the transport sends, and what its `body` adds: how to answer, who answers, a `system` message.

    `id` is the chat's. Fields that are not listed are accepted and have no effect, `trigger` and `messageId`
    among them: the messages end where the answer is to go on.
    """

    id: str
    messages: list[UIMessage]
    system: str | None = None
    provider: str | None = None
    model: str | None = None
    ignored: list[str] | None = None
    api_key: Key = None
    web_search: bool | str | None = None
    aspect_ratio: str | None = None
    continuation: bool | None = None

    def ask(self, brought: Brought) -> Ask:
        """The question as a turn takes it. Raises `BadRequest`."""
        system = [Message("system", self.system)] if self.system else []
        generation = {name: getattr(self, name) for name in Generation.__struct_fields__}
        generation |= {"n": None, "tools": self.tools or None}  # this wire has no room for more answers
        asked = list(messages(self.messages))
        return Ask(
            messages=checked([*system, *asked] if asked else []),
            model=self.model or None,
            generation=Generation(**generation),
            ignored=frozenset(self.ignored or ()),
            keys=brought.keys,
            base_url=brought.base_url,
            web_search=self.web_search or False,
            continuation=bool(self.continuation),
            aspect_ratio=self.aspect_ratio or None,
        )

    @property
    def continued(self) -> UIMessage | None:
        """The message that the answer goes on with, after tools that the client has run."""
        last = self.messages[-1] if self.messages else None
        return last if last and last.role == "assistant" else None


class UIChat:
    """chat, chat/…/stream."""

    def __init__(self, context: Context) -> None:
        self._turns, self._clients = context.turns, Clients(context)
        self._limits = context.settings.stream
        self.routes = {
            "/api/chat": route(POST=self.answer),
            "/api/chat/{id}/stream": route(GET=self.resume),
        }

    @user
    async def answer(
        self, body: UIChatRequest, headers: Mapping[str, str], caller: Caller, record: Record
    ) -> Stream:
        """Answers a chat as the AI SDK's UI message stream.

        Its client can come back to an answer, so one that is left goes on for a while, unless X-On-Disconnect
        says otherwise. `stop()` of that client only leaves: POST /backend-api/v2/turns/{id}/stop ends the
        answer, where id is the header X-Turn-Id, and `turn` in the message's metadata.
        """
        record.wire = "ui"
        continued = body.continued
        kept = terms(
            headers,
            self._limits.grace,
            body,
            "wait",
            request=msgspec.json.encode(continued) if continued else None,
            chat=body.id,
        )
        brought = self._clients.brought(body.provider, headers, body.api_key)
        turn = await self._turns.start(body.ask(brought), brought.provider, record, kept)
        self._give_up(body.id, caller.user, turn)
        return Stream(turn, MessageParts(turn.id, continued), patience=self._limits.first_event_timeout)

    @user
    async def resume(self, id: str, caller: Caller) -> Stream | None:
        """The caller's running answer in this chat, from its beginning; 204 where there is none."""
        running = self._running(id, caller.user)
        if not running:
            return None
        turn = max(running, key=lambda turn: turn.opened_at)
        continued = msgspec.json.decode(turn.request, type=UIMessage) if turn.request else None
        return Stream(turn, MessageParts(turn.id, continued, retell=True))

    def _running(self, chat: str, owner: str) -> list[Turn]:
        running = self._turns.running(owner)
        return [turn for turn in running if turn.terms.chat == chat and turn.record.wire == "ui"]

    def _give_up(self, chat: str, owner: str, turn: Found) -> None:
        """Ends what waits for a reader in this chat: whoever asks anew does not come back to it."""
        for other in self._running(chat, owner):
            if other is not turn and not other.readers and other.terms.on_disconnect == "wait":
                other.stop("abandoned")
