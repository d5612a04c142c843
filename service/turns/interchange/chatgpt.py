"""Chats as ChatGPT exports them: `conversations.json`, an array of trees of messages with all their branches.

A node may have no message, or one that was never shown: what follows it is then below what is above it.
Pictures and files lie beside the JSON in the export, and become a mark.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from service.stores.chats import Chat, Message
from service.turns.interchange.values import ROLES, made, rows, seconds, some, table, text

SILENT = frozenset({"model_editable_context", "user_editable_context", "reasoning_recap"})
"""Kinds of content that nobody has said."""
FENCED = frozenset({"code", "execution_output"})


class Above(NamedTuple):
    """What a node stands below: a message, or what was thought before one."""

    parent: int | None = None
    reasoning: str = ""


def is_chat(conversation: dict[str, Any]) -> bool:
    return isinstance(conversation.get("mapping"), dict)


def chat(conversation: dict[str, Any]) -> Chat:
    """Raises `ValueError` where nothing is in it."""
    mapping = {id: table(node) for id, node in conversation["mapping"].items()}
    messages: list[Message] = []
    below: dict[str, Above] = {}
    for id in _ordered(mapping):
        above = below.get(text(mapping[id].get("parent")), Above())
        below[id] = _add(table(mapping[id].get("message")), above, messages)
    shown = below.get(text(conversation.get("current_node")), Above()).parent
    return made(
        conversation.get("conversation_id") or conversation.get("id"),
        conversation.get("title"),
        (conversation.get("create_time"), conversation.get("update_time")),
        messages,
        archived=conversation.get("is_archived") is True,
        starred=conversation.get("is_starred") is True,
        leaf=shown or len(messages),
    )


def _ordered(mapping: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Every node after the one above it, variants in their order; what leads in a circle is left out."""
    left = dict(mapping)
    waiting = [id for id, node in mapping.items() if text(node.get("parent")) not in mapping][::-1]
    while waiting:
        if left.pop(id := waiting.pop(), None) is not None:
            yield id
            children = mapping[id].get("children")
            known = children if isinstance(children, list) else []
            waiting += [child for child in reversed(known) if isinstance(child, str) and child in left]


def _add(message: dict[str, Any], above: Above, messages: list[Message]) -> Above:
    """Adds the message, if it was shown; returns what stands above those that follow."""
    metadata, content = table(message.get("metadata")), table(message.get("content"))
    hidden = metadata.get("is_visually_hidden_from_conversation") is True or message.get("weight") == 0
    role = ROLES.get(text(table(message.get("author")).get("role")))
    if hidden or role is None:
        return above
    if content.get("content_type") == "thoughts":
        return above._replace(reasoning="\n\n".join(filter(None, [above.reasoning, _thoughts(content)])))
    if not (said := _said(content)):
        return above
    messages.append(
        Message(
            number=len(messages) + 1,
            parent=above.parent,
            role=role,
            content=said,
            reasoning=above.reasoning if role == "assistant" else "",
            model=some(metadata.get("model_slug")) if role == "assistant" else None,
            finish=some(table(metadata.get("finish_details")).get("type")),
            created_at=seconds(message.get("create_time")) or 0.0,
        )
    )
    return Above(len(messages))


def _thoughts(content: dict[str, Any]) -> str:
    thoughts = rows(content.get("thoughts"))
    return "\n\n".join(text(thought.get("content")) or text(thought.get("summary")) for thought in thoughts)


def _said(content: dict[str, Any]) -> str:
    kind = content.get("content_type")
    if kind in SILENT:
        return ""
    if kind in FENCED:
        code = text(content.get("text"))
        language = text(content.get("language")) if content.get("language") != "unknown" else ""
        return f"```{language}\n{code}\n```" if code.strip() else ""
    parts = content.get("parts")
    found = map(_part, parts) if isinstance(parts, list) else [text(content.get("text"))]
    return "\n\n".join(part for part in found if part.strip())


def _part(part: Any) -> str:
    """The text of a part, or a mark for what lies beside the JSON."""
    if isinstance(part, str):
        return part
    kind = text(table(part).get("content_type"))
    if said := text(table(part).get("text")):
        return said
    return "[🖼]" if "image" in kind else "[📎]" if "pointer" in kind else ""
