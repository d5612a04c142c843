"""Chats as gpt4free's web clients write them. Source: the wire contract, section 9."""

import re
from typing import Any

from service.stores.chats import Chat, Message
from service.turns.interchange.values import (
    ROLES,
    content,
    made,
    mark,
    picture,
    rows,
    seconds,
    shown,
    some,
    table,
    text,
)

OURS = re.compile(r"!?\[([^\[\]\n]{0,500})\]\(<?/(?:media|images|thumbnail|files)/[^()\n]{0,2000}\)")
"""A picture or a file that only its owner can have from the service, as Markdown has it."""
PUBLIC = ("data:", "https://", "http://")


def is_chat(conversation: dict[str, Any]) -> bool:
    return isinstance(conversation.get("items"), list)


def chat(conversation: dict[str, Any]) -> Chat:
    """An answer that is marked as given again is a variant of the one before. Raises `ValueError`."""
    messages: list[Message] = []
    for item in rows(conversation["items"]):
        if message := _message(item):
            message.number = len(messages) + 1
            message.parent = _parent(item, messages)
            messages.append(message)
    return made(
        conversation.get("id"),
        conversation.get("title"),
        (conversation.get("added"), conversation.get("updated")),
        messages,
        starred=conversation.get("star") is True,
        settings={"system": system} if (system := text(conversation.get("system"))) else {},
    )


def conversation(chat: Chat, id: str, updated: int) -> dict[str, Any]:
    """What of a chat is shown, for those who read it as a share under this id: nothing of whose it is.

    Files and pictures that only their owner can have become a mark. Times are in milliseconds.
    """
    return {
        "id": id,
        "title": chat.title,
        "added": int(chat.created_at * 1000),
        "updated": updated,
        "system": text(chat.settings.get("system")),
        "items": [_item(message) for message in shown(chat)],
    }


def _message(item: dict[str, Any]) -> Message | None:
    """None for what says nothing: clients write such messages after an upload."""
    role, said = ROLES.get(text(item.get("role"))), content(item.get("content"))
    if role is None or not said:
        return None
    provider, thought = table(item.get("provider")), item.get("reasoning")
    return Message(
        role=role,
        content=said,
        reasoning=text(thought) or text(table(thought).get("text")) or text(table(thought).get("token")),
        model=some(provider.get("model")),
        provider=some(provider.get("name")) or some(item.get("provider")),
        finish=some(table(item.get("finish")).get("reason")),
        usage=table(item.get("usage")) or None,
        created_at=seconds(item.get("added")) or 0.0,
    )


def _parent(item: dict[str, Any], messages: list[Message]) -> int | None:
    if not messages:
        return None
    last = messages[-1]
    again = item.get("regenerate") and last.role == "assistant" == item.get("role")
    return last.parent if again else last.number


def _item(message: Message) -> dict[str, Any]:
    item: dict[str, Any] = {
        "role": message.role,
        "content": shareable(message.content),
        "provider": _provider(message),
    }
    if message.finish:
        item["finish"] = {"reason": message.finish}
    if message.usage:
        item["usage"] = message.usage
    if message.reasoning:
        item["reasoning"] = {"type": "reasoning", "text": message.reasoning, "status": ""}
    return item


def _provider(message: Message) -> dict[str, Any] | None:
    if message.role != "assistant" or not (message.provider or message.model):
        return None
    return {"name": message.provider, "label": message.provider, "url": None, "model": message.model}


def shareable(said: Any) -> Any:
    """What was said, with a mark for each file and picture that only its owner can have."""
    if isinstance(said, str):
        return OURS.sub(r"[🖼 \1]", said)
    return [shared for part in rows(said) if (shared := _shareable_part(part))]


def _shareable_part(part: dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(part.get("text"), str) and "bucket_id" not in part:
        return {**part, "text": OURS.sub(r"[🖼 \1]", part["text"])}
    if picture(part).startswith(PUBLIC):
        return part
    return {"type": "text", "text": mark(part)} if mark(part) else None
