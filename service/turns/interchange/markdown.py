"""A chat as Markdown, for people: what was shown of it, without variants and what was thought."""

from typing import Any

from service.stores.chats import Chat, Message
from service.turns.interchange.values import mark, picture, rows, shown, table, text

HEADINGS = {"user": "User", "system": "System", "tool": "Tool"}


def written(chat: Chat) -> str:
    """Headings of the first and second order are ours; what was said stands as it is."""
    system = text(chat.settings.get("system"))
    head = [f"# {' '.join(chat.title.split()) or 'Chat'}", *([f"## System\n\n{system}"] if system else [])]
    return "\n\n".join([*head, *map(_section, shown(chat))]) + "\n"


def _section(message: Message) -> str:
    name = HEADINGS.get(message.role) or message.model or "Assistant"
    sources = [line for source in message.sources or [] if (line := _source(source))]
    return "\n\n".join(filter(None, [f"## {name}", _said(message.content), "\n".join(sources)]))


def _said(content: Any) -> str:
    if isinstance(content, str):
        return content.strip()
    return "\n\n".join(part for part in map(_part, rows(content)) if part)


def _part(part: dict[str, Any]) -> str:
    """A text, or what stands for something else; what is written in the address itself is left out."""
    if isinstance(part.get("text"), str) and "bucket_id" not in part:
        return str(part["text"]).strip()
    address = picture(part)
    return f"![]({address})" if address and not address.startswith("data:") else mark(part)


def _source(source: Any) -> str:
    """The file on which an answer rests, and the page."""
    file, page = text(table(source).get("file")), table(source).get("page")
    return f"- {file}" + (f", {page}" if isinstance(page, int) else "") if file else ""
