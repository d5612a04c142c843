"""A user's chats: the list, with full-text search, and each of them, to be read, changed and removed."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from service.context import Caller, Context
from service.errors import BadRequest, TooLarge
from service.routes import route, user
from service.stores.chats import Message
from service.stores.chats_list import Listed, Wanted

V2 = "/backend-api/v2"


class Question(Struct):
    """Which chats, `limit` at a time, the last used first; `before` is the last answer's `next`.

    Without `archived` and `starred` it does not matter whether they are. With `q`: those whose title, or one
    of whose messages, has all of these words, or words that begin like them.
    """

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before: str | None = None
    archived: bool | None = None
    starred: bool | None = None
    q: str = ""


class Entry(Struct, omit_defaults=True):
    """A chat in the list; times in milliseconds since 1970. `running` is the turn that is being answered.

    After a search `snippet` has pieces of text, and whether each is a hit; `message` is the number of the
    message that they are of, null for the title.
    """

    id: str
    title: str
    created: int
    updated: int
    starred: bool
    archived: bool
    share: str | None
    running: str | None
    messages: int
    snippet: list[tuple[str, bool]] | msgspec.UnsetType = msgspec.UNSET
    message: int | msgspec.UnsetType | None = msgspec.UNSET


class Found(Struct):
    """`next` leads to more chats, null where there are none."""

    chats: list[Entry]
    next: str | None


class Branch(Struct):
    """A message in the tree of a chat; `parent` is the `id` of the one before it.

    An answer's `state` is running, finished, stopped, failed or interrupted; `turn` is where it is read as it
    is given. `content` is a text, or an array of parts as OpenAI has them. Tools that an answer calls are a
    part `{"type": "tool_calls", "tool_calls": […]}`. What is too long to be kept is named in a text.
    """

    id: int
    parent: int | None
    role: str
    content: Any
    reasoning: str
    turn: str | None
    model: str | None
    provider: str | None
    state: str
    finish: str | None
    error: str | None
    usage: dict[str, Any] | None
    sources: list[Any] | None
    created: int


class Whole(Entry, kw_only=True):
    """A chat with all its messages; `leaf` is the one that was shown last."""

    settings: dict[str, Any]
    leaf: int | None
    tree: list[Branch]


class Changes(Struct):
    """What of a chat is to change; `leaf` is the number of a message."""

    title: Annotated[str, Meta(min_length=1)] | None = None
    starred: bool | None = None
    archived: bool | None = None
    settings: dict[str, Any] | None = None
    leaf: int | None = None


class KeptChats:
    """chats."""

    def __init__(self, context: Context) -> None:
        self._chats = context.chats
        self.routes = {
            f"{V2}/chats": route(GET=self.chats, DELETE=self.remove_chats),
            f"{V2}/chats/{{id}}": route(GET=self.tree, PATCH=self.change_chat, DELETE=self.remove_chat),
        }

    @user
    async def chats(self, query: Question, caller: Caller) -> Found:
        """Lists the caller's chats, or finds those in which words are."""
        wanted = Wanted(archived=query.archived, starred=query.starred, words=query.q.strip())
        try:
            listed, more = await self._chats.page(caller.user, wanted, query.before, query.limit)
        except ValueError as error:
            raise BadRequest(
                f"{query.before!r} is no page: send `next` of the last one.", "before"
            ) from error
        return Found([_entry(each, bool(wanted.words)) for each in listed], more)

    @user
    async def tree(self, id: str, caller: Caller) -> Whole:
        """A chat, with the tree of its messages: variants of an answer are children of one question."""
        listed = await self._chats.listed(caller.user, id)
        found = await self._chats.find(caller.user, id)
        told = msgspec.structs.asdict(_entry(listed, False))
        branches = [_branch(message) for message in found.messages]
        return Whole(**told, settings=found.settings, leaf=found.leaf, tree=branches)

    @user
    async def change_chat(self, id: str, body: Changes, caller: Caller) -> Entry:
        """Changes a chat's title, marks or settings, or which message is shown last."""
        if body.settings and len(msgspec.json.encode(body.settings)) > self._chats.longest:
            raise TooLarge(
                f"The settings of a chat have {self._chats.longest} characters at most (chats.message_size)."
                " Send fewer.",
                "settings",
            )
        await self._chats.change(caller.user, id, **msgspec.structs.asdict(body))
        return _entry(await self._chats.listed(caller.user, id), False)

    @user
    async def remove_chat(self, id: str, caller: Caller) -> None:
        """Removes a chat. An answer that runs in it goes on, and is kept nowhere."""
        await self._chats.remove(caller.user, id)

    @user
    async def remove_chats(self, caller: Caller) -> None:
        """Removes all of the caller's chats."""
        await self._chats.remove_all(caller.user)


def _entry(chat: Listed, sought: bool) -> Entry:
    return Entry(
        id=chat.id,
        title=chat.title,
        created=_milliseconds(chat.created_at),
        updated=_milliseconds(chat.updated_at),
        starred=chat.starred,
        archived=chat.archived,
        share=chat.share,
        running=chat.running,
        messages=chat.messages,
        snippet=(chat.snippet or []) if sought else msgspec.UNSET,
        message=chat.message if sought else msgspec.UNSET,
    )


def _branch(message: Message) -> Branch:
    told = {name: getattr(message, name) for name in Branch.__struct_fields__ if hasattr(message, name)}
    return Branch(**told, id=message.number, created=_milliseconds(message.created_at))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
