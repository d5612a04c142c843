"""A shared chat as its page shows it: what was said as HTML that is safe, and that asks nobody for more."""

import msgspec
from msgspec import Struct

from service.documents import markdown
from service.stores.chats import Chat, Message
from service.turns.interchange import gpt4free
from service.turns.interchange.values import file_name, picture, rows, shown, table, text, words

MOST_RENDERED = 1_000_000
"""Characters of a chat that are read as Markdown; what follows is shown as it was written."""
PICTURES = ("data:image/png;", "data:image/jpeg;", "data:image/webp;", "data:image/gif;")
"""What is in the chat itself: a reader's browser asks nobody for a picture."""


class Said(Struct):
    """A message: `text` is plain, `html` the same as Markdown, null where nobody has read it as such.

    `files` are names: only their owner has the files. A name may be empty.
    """

    role: str
    name: str | None
    text: str
    html: str | None
    reasoning: str
    pictures: list[str]
    files: list[str]
    state: str


class Page(Struct):
    """`updated` as the share has it."""

    title: str
    updated: int
    messages: list[Said]


def of_object(posted: bytes, updated: int) -> bytes:
    """Of what a client has posted; an object that is no conversation is an empty one."""
    conversation = table(msgspec.json.decode(posted))
    if not gpt4free.is_chat(conversation):
        conversation = {"title": conversation.get("title"), "items": []}
    try:
        chat = gpt4free.chat(conversation)
    except ValueError:  # it is empty
        chat = Chat(id="", title=text(conversation.get("title")))
    return of_chat(chat, updated)


def of_chat(chat: Chat, updated: int) -> bytes:
    """As JSON. It takes seconds where a chat is long, so no event loop should wait for it."""
    left = MOST_RENDERED
    messages = []
    for message in shown(chat):
        if message.role in {"user", "assistant"}:
            said = _said(message, left)
            left -= len(said.text) if said.html else 0
            messages.append(said)
    return msgspec.json.encode(Page(chat.title, updated, messages))


def _said(message: Message, left: int) -> Said:
    files = [part for part in rows(message.content) if "bucket_id" in part]
    if files:
        message.content = [part for part in message.content if part not in files]
    message.content = gpt4free.shareable(message.content)
    said = words(message)
    as_markdown = message.role == "assistant" and len(said) <= left
    return Said(
        role=message.role,
        name=message.model or message.provider if message.role == "assistant" else None,
        text=said,
        html=markdown.html(said) if as_markdown else None,
        reasoning=message.reasoning,
        pictures=[
            address for part in rows(message.content) if (address := picture(part)).startswith(PICTURES)
        ],
        files=[file_name(part) for part in files],
        state=message.state,
    )
