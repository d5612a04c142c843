"""Chats as we export them: what `GET /backend-api/v2/chats/{id}` tells, without what holds here only."""

from typing import Any

from service.stores.chats import Chat, Message
from service.turns.interchange.values import (
    ROLES,
    content,
    made,
    rows,
    seconds,
    some,
    table,
    text,
)

STATES = frozenset({"finished", "stopped", "failed", "interrupted"})


def is_chat(exported: dict[str, Any]) -> bool:
    return isinstance(exported.get("tree"), list)


def written(chat: Chat) -> dict[str, Any]:
    """The chat with all its branches; times in milliseconds."""
    return {
        "id": chat.id,
        "title": chat.title,
        "created": int(chat.created_at * 1000),
        "updated": int(chat.updated_at * 1000),
        "starred": chat.starred,
        "archived": chat.archived,
        "settings": chat.settings,
        "leaf": chat.leaf,
        "tree": [_node(message) for message in chat.messages],
    }


def chat(exported: dict[str, Any]) -> Chat:
    """Raises `ValueError` where nothing is in it."""
    messages: list[Message] = []
    places: dict[int, int] = {}
    for node in rows(exported["tree"]):
        if message := _message(node, places):
            message.number = len(messages) + 1
            messages.append(message)
            if isinstance(id := node.get("id"), int):
                places[id] = message.number
    leaf = exported.get("leaf")
    return made(
        exported.get("id"),
        exported.get("title"),
        (exported.get("created"), exported.get("updated")),
        messages,
        starred=exported.get("starred") is True,
        archived=exported.get("archived") is True,
        settings=table(exported.get("settings")),
        leaf=places.get(leaf, len(messages)) if isinstance(leaf, int) else len(messages),
    )


def _node(message: Message) -> dict[str, Any]:
    """An answer that still runs is one that was interrupted, to whoever reads it elsewhere."""
    return {
        "id": message.number,
        "parent": message.parent,
        "role": message.role,
        "content": message.content,
        "reasoning": message.reasoning,
        "model": message.model,
        "provider": message.provider,
        "state": "interrupted" if message.state == "running" else message.state,
        "finish": message.finish,
        "error": message.error,
        "usage": message.usage,
        "sources": message.sources,
        "created": int(message.created_at * 1000),
    }


def _message(node: dict[str, Any], places: dict[int, int]) -> Message | None:
    role, parent = ROLES.get(text(node.get("role"))), node.get("parent")
    if role is None:
        return None
    return Message(
        parent=places.get(parent) if isinstance(parent, int) else None,
        role=role,
        content=content(node.get("content")),
        reasoning=text(node.get("reasoning")),
        model=some(node.get("model")),
        provider=some(node.get("provider")),
        state=state if (state := text(node.get("state"))) in STATES else "finished",
        finish=some(node.get("finish")),
        error=some(node.get("error")),
        usage=table(node.get("usage")) or None,
        sources=rows(node.get("sources")) or None,
        created_at=seconds(node.get("created")) or 0.0,
    )
