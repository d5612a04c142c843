"""Chats as others write them, as JSON schemas: what is read of them; there may be more in each."""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MILLISECONDS: Schema = {"type": "integer", "description": "milliseconds since 1970"}
SAID: Schema = {"anyOf": [TEXT, {"type": "array", "items": {"type": "object"}}]}


def _object(description: str, required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "description": description, "required": required, "properties": properties}


def _all(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


ITEM = _object(
    "A message; `regenerate` marks another answer to the same question.",
    ["role", "content"],
    role=TEXT,
    content=SAID,
    provider=_or_null("object"),
    usage={"type": "object"},
    finish={"type": "object"},
    reasoning={"type": ["object", "string"]},
    regenerate={"type": "boolean"},
)
CONVERSATION = _object(
    "gpt4free's conversation.",
    ["items"],
    id=TEXT,
    title=TEXT,
    added=MILLISECONDS,
    updated=MILLISECONDS,
    system=TEXT,
    items=_all(ITEM),
)
SHARED: Schema = CONVERSATION | {
    "description": "A conversation; whatever else is in the object is kept as it is.",
    "required": [],
}
NODE = _object(
    "A message; `parent` is the `id` of the one before it, which comes first.",
    ["role", "content"],
    id={"type": "integer"},
    parent=_or_null("integer"),
    role=TEXT,
    content=SAID,
    reasoning=TEXT,
    model=_or_null("string"),
    provider=_or_null("string"),
    state={"enum": ["finished", "stopped", "failed", "interrupted"]},
    finish=_or_null("string"),
    error=_or_null("string"),
    usage=_or_null("object"),
    sources=_or_null("array"),
    created=MILLISECONDS,
)
OURS = _object(
    "What GET /backend-api/v2/chats/{id}/export has written.",
    ["tree"],
    id=TEXT,
    title=TEXT,
    created=MILLISECONDS,
    updated=MILLISECONDS,
    starred={"type": "boolean"},
    archived={"type": "boolean"},
    settings={"type": "object"},
    leaf=_or_null("integer"),
    tree=_all(NODE),
)
CHATGPT = _object(
    "A member of ChatGPT's conversations.json.",
    ["mapping"],
    conversation_id=TEXT,
    title=TEXT,
    create_time={"type": "number", "description": "seconds since 1970"},
    update_time={"type": "number"},
    current_node=TEXT,
    mapping={"type": "object", "additionalProperties": {"type": "object"}},
)
CHAT: Schema = {"anyOf": [OURS, CONVERSATION, CHATGPT]}
IMPORTED: Schema = {
    "anyOf": [
        CHAT,
        _all(CHAT),
        {"type": "object", "additionalProperties": {"anyOf": [CHAT, _all(CHAT), {}]}},
    ]
}
"""One, an array of them, or an object that has some in it."""
