"""Chats of others and ours, from one form to another, and out of files that arrive in pieces."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadRequest
from service.stores.chats import Chat, Message
from service.turns.interchange import chatgpt, gpt4free, markdown, own, schemas
from service.turns.interchange.members import Members
from service.turns.interchange.reading import UNKNOWN, Reading, Skipped
from service.turns.interchange.values import shown

LONGEST = 100_000


def exported(id: str, title: str, *nodes: Any, **other: Any) -> dict[str, Any]:
    """A conversation of ChatGPT's export; a node is its id, that above it, and its message."""
    mapping: dict[str, Any] = {}
    for node, parent, message in nodes:
        mapping[node] = {"id": node, "parent": parent, "children": [], "message": message}
        if parent in mapping:
            mapping[parent]["children"].append(node)
    times = {"create_time": 1_706_745_600.5, "update_time": 1_706_745_900.25}
    return {"conversation_id": id, "title": title, "mapping": mapping, **times, **other}


def said(role: str, *parts: Any, **other: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": list(parts)}
    return {"author": {"role": role}, "create_time": 1_706_745_700.0, "content": content, **other}


THOUGHTS = {"content_type": "thoughts", "thoughts": [{"summary": "Easy", "content": "Paris it is."}]}
BRANCHED = exported(
    "c-1",
    "Capitals",
    ("root", None, None),
    ("hidden", "root", said("system", "", metadata={"is_visually_hidden_from_conversation": True})),
    ("q", "hidden", said("user", "Of France?")),
    ("thought", "q", said("assistant") | {"content": THOUGHTS}),
    ("a1", "thought", said("assistant", "Paris.", metadata={"model_slug": "gpt-4o"})),
    ("a2", "q", said("assistant", "It is **Paris**.", metadata={"model_slug": "o3"})),
    ("q2", "a2", said("user", "Of Italy?")),
    ("edited", "a2", said("user", "Of Spain?")),
    ("a3", "edited", said("assistant", "Madrid.")),
    current_node="a3",
    is_archived=True,
)  # fmt: skip


def read(data: Any, longest: int = LONGEST, size: int = 10**9) -> list[Chat | Skipped]:
    """What comes of a file that arrives in pieces of so many bytes."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    reading = Reading(longest)
    found: list[Chat | Skipped] = []
    for start in range(0, len(body), size):
        found += reading.feed(body[start : start + size])
    return found + reading.end()


def only(data: Any) -> Chat:
    (chat,) = read(data)
    assert isinstance(chat, Chat), chat
    return chat


def told(chat: Chat) -> list[tuple[int, int | None, str, Any]]:
    return [(each.number, each.parent, each.role, each.content) for each in chat.messages]


def path(chat: Chat) -> list[Any]:
    return [each.content for each in shown(chat)]


# ChatGPT


def test_a_tree_keeps_its_branches_and_shows_the_one_that_was_shown() -> None:
    chat = only([BRANCHED])
    assert told(chat) == [
        (1, None, "user", "Of France?"),
        (2, 1, "assistant", "Paris."),
        (3, 1, "assistant", "It is **Paris**."),
        (4, 3, "user", "Of Italy?"),
        (5, 3, "user", "Of Spain?"),
        (6, 5, "assistant", "Madrid."),
    ]
    assert path(chat) == ["Of France?", "It is **Paris**.", "Of Spain?", "Madrid."]
    assert (chat.id, chat.title, chat.archived, chat.leaf) == ("c-1", "Capitals", True, 6)
    assert (chat.created_at, chat.updated_at) == (1_706_745_600.5, 1_706_745_900.25)
    assert [(each.model, each.reasoning) for each in chat.messages[1:3]] == [
        ("gpt-4o", "Paris it is."),
        ("o3", ""),
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"content_type": "multimodal_text", "parts": [
            {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"}, "What is it?"]},
         "[🖼]\n\nWhat is it?"),
        ({"content_type": "multimodal_text", "parts": [
            {"content_type": "audio_transcription", "text": "Spoken."},
            {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://y"}]},
         "Spoken.\n\n[📎]"),
        ({"content_type": "code", "language": "python", "text": "print(1)"}, "```python\nprint(1)\n```"),
        ({"content_type": "execution_output", "text": "1"}, "```\n1\n```"),
        ({"content_type": "tether_quote", "text": "A quote", "url": "https://x.example"}, "A quote"),
        ({"content_type": "something_new", "parts": ["Still text"]}, "Still text"),
    ],
)  # fmt: skip
def test_what_is_no_plain_text_is_read_or_marked(content: Any, text: str) -> None:
    chat = only([exported("c", "t", ("q", None, {"author": {"role": "user"}, "content": content}))])
    assert path(chat) == [text]


NONSENSE: list[Any] = [None, 1, -1.5, True, "x", [], {}, [None], {"x": None}, 1e300, "\x00"]


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_no_value_of_another_type_fails_anything(value: Any) -> None:
    node = said("user", "Hello")
    for where in ("author", "content", "metadata", "create_time", "weight"):
        chats = read([exported("c", "t", ("a", None, said("user", "Hi")), ("b", "a", node | {where: value}))])
        assert isinstance(chats[0], Chat)
    for name in ("title", "create_time", "update_time", "current_node", "conversation_id", "is_archived"):
        assert isinstance(read([BRANCHED | {name: value}])[0], Chat)
    for name in ("message", "parent", "children"):
        odd = json.loads(json.dumps(BRANCHED))
        odd["mapping"]["a1"][name] = value
        assert isinstance(read([odd])[0], Chat)
    for name in ("role", "content", "provider", "reasoning", "usage", "finish", "regenerate", "added"):
        items = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", name: value}]
        assert isinstance(read([{"items": items}])[0], Chat)
    for name in ("id", "parent", "role", "content", "created", "usage", "sources", "state", "reasoning"):
        tree = own.written(only([BRANCHED]))
        tree["tree"][1][name] = value
        assert isinstance(read(tree)[0], Chat)


def test_circles_and_what_hangs_in_the_air_end() -> None:
    circle = exported("c", "t", ("a", "b", said("user", "A")), ("b", "a", said("user", "B")))
    circle["mapping"]["a"]["children"] = ["b"]
    circle["mapping"]["b"]["children"] = ["a"]
    (skipped,) = read([circle])
    assert skipped == Skipped("t", "There is no message in it.")
    lost = exported("c", "t", ("a", "nowhere", said("user", "A")))
    assert path(only([lost])) == ["A"]


def test_a_chat_as_deep_as_it_is_long_is_read() -> None:
    nodes = [(str(n), str(n - 1) if n else None, said("user", f"Message {n}")) for n in range(5_000)]
    (chat,) = read([exported("c", "t", *nodes)], longest=10**8)
    assert isinstance(chat, Chat)
    assert len(shown(chat)) == 5_000


# gpt4free

PROVIDER = {"name": "Upstream", "label": "The upstream", "url": "https://u.example", "model": "small"}
CONVERSATION: dict[str, Any] = {
    "id": "g-1",
    "title": "Sea",
    "added": 1_795_432_292_000,
    "updated": 1_795_432_299_000,
    "system": "Be brief.",
    "items": [
        {"role": "user", "content": "What is it?", "provider": None},
        {"role": "user", "content": []},
        {"role": "assistant", "content": "Water.", "provider": PROVIDER, "finish": {"reason": "stop"},
         "usage": {"total_tokens": 3}, "reasoning": {"type": "reasoning", "text": "Hm.", "status": ""}},
        {"role": "assistant", "content": "Much water.", "provider": PROVIDER, "regenerate": True},
        {"role": "user", "content": [{"type": "text", "text": "And this?"},
                                     {"bucket_id": "b-1", "name": "notes.txt"}]},
    ],
    "share": "old", "data": {"Upstream": {"secret": 1}}, "star": True, "backup": None,
}  # fmt: skip


def test_a_conversation_of_a_web_client_with_an_answer_given_again() -> None:
    chat = only(CONVERSATION)
    assert told(chat)[:3] == [
        (1, None, "user", "What is it?"),
        (2, 1, "assistant", "Water."),
        (3, 1, "assistant", "Much water."),
    ]
    assert chat.messages[3].parent == 3
    answer = chat.messages[1]
    assert (answer.provider, answer.model, answer.reasoning) == ("Upstream", "small", "Hm.")
    assert (answer.finish, answer.usage) == ("stop", {"total_tokens": 3})
    assert (chat.created_at, chat.updated_at) == (1_795_432_292.0, 1_795_432_299.0)
    assert (chat.starred, chat.settings) == (True, {"system": "Be brief."})


def test_what_readers_of_a_share_get_is_what_is_shown_and_nothing_of_the_owners() -> None:
    chat = only(CONVERSATION)
    chat.messages[2].content = "See ![a boat](/media/17_boat_0.png?url=x), [all](/files/b-1/media/n.txt)."
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    calls = {"type": "tool_calls", "tool_calls": [{"id": "secret"}]}
    sound = {"type": "input_audio", "input_audio": {"data": "secret"}}
    mine = {"type": "image_url", "image_url": {"url": "/files/b-1/media/x.png"}}
    chat.messages[3].content = [*chat.messages[3].content, picture, mine, calls, sound]
    shared = gpt4free.conversation(chat, "share-id", 7)
    assert (shared["id"], shared["updated"], shared["title"], shared["system"]) == (
        "share-id",
        7,
        "Sea",
        "Be brief.",
    )
    assert [item["content"] for item in shared["items"]] == [
        "What is it?",
        "See [🖼 a boat], [🖼 all].",
        [
            {"type": "text", "text": "And this?"},
            {"type": "text", "text": "[📎 notes.txt]"},
            picture,
            {"type": "text", "text": "[🖼]"},
            {"type": "text", "text": "[📎]"},
        ],
    ]
    for secret in ("g-1", "b-1", "/media", "secret", "old"):
        assert secret not in json.dumps(shared)
    assert path(only(shared))[:1] == ["What is it?"]


def test_a_conversation_comes_back_from_a_share_as_it_was() -> None:
    chat = only(CONVERSATION)
    again = only(gpt4free.conversation(chat, "other", 1_795_432_299_000))
    assert path(again)[:2] == path(chat)[:2]
    assert again.messages[1].provider == "Upstream"


# Ours


def test_what_we_export_comes_back_as_it_was() -> None:
    for before in (only([BRANCHED]), only(CONVERSATION)):
        for message in before.messages:
            message.number += 7 << 20
            message.parent = message.parent and message.parent + (7 << 20)
        before.leaf = before.messages[1].number
        after = only(own.written(before))
        for message in before.messages:
            message.number -= 7 << 20
            message.parent = message.parent and message.parent - (7 << 20)
        before.leaf = 2
        assert after == before


def test_an_answer_that_still_runs_is_interrupted_elsewhere() -> None:
    chat = only(CONVERSATION)
    chat.messages[1].state = "running"
    assert only(own.written(chat)).messages[1].state == "interrupted"


def test_markdown_is_for_people() -> None:
    chat = only(CONVERSATION)
    chat.messages[2].sources = [{"file": "book.pdf", "page": 3}, {"file": "notes.txt"}, "?", {}]
    assert markdown.written(chat) == (
        "# Sea\n\n## System\n\nBe brief.\n\n## User\n\nWhat is it?\n\n"
        "## small\n\nMuch water.\n\n- book.pdf, 3\n- notes.txt\n\n"
        "## User\n\nAnd this?\n\n[📎 notes.txt]\n"
    )


# Files


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10**9])
def test_a_file_may_arrive_in_any_pieces(size: int) -> None:
    chats = [BRANCHED, CONVERSATION, own.written(only(CONVERSATION))]
    spaced = json.dumps(chats, indent=1, ensure_ascii=False)
    for body in (json.dumps(chats), spaced, f"\ufeff {spaced}\n"):
        assert read(body.encode(), size=size) == read(chats)
    assert read(json.dumps(CONVERSATION).encode(), size=size) == read(CONVERSATION)


def test_an_object_that_has_chats_in_it() -> None:
    dump = {
        "options": {"g4f": True},
        "conversation:g-1": CONVERSATION,
        "conversation:g-2": CONVERSATION | {"title": "Two"},
        "favorites": ["a"],
        "version": 3,
    }
    assert [chat.title for chat in read(dump)] == ["Sea", "Two"]
    assert [chat.title for chat in read({"conversations": [CONVERSATION, BRANCHED]})] == ["Sea", "Capitals"]


def test_what_is_no_chat_is_skipped_with_a_reason() -> None:
    empty = {"title": "Empty", "items": []}
    assert read([1, None, "x", {}, {"title": "Other"}, empty, CONVERSATION])[:6] == [
        *[Skipped("", UNKNOWN)] * 4,
        Skipped("Other", UNKNOWN),
        Skipped("Empty", "There is no message in it."),
    ]
    assert read({}) == read({"a": 1}) == [Skipped("", UNKNOWN)]
    assert read([]) == []
    (bad, good) = read(b'[{"items": [tru]}, %b]' % json.dumps(CONVERSATION).encode())
    assert isinstance(bad, Skipped)
    assert "no JSON" in bad.reason
    assert isinstance(good, Chat)
    (deep, _) = read(b"[%b%b, 1]" % (b"[" * 5000, b"]" * 5000))
    assert isinstance(deep, Skipped)


@pytest.mark.parametrize("size", [50, 1000, 10**9])
def test_a_chat_that_is_too_long_is_skipped_and_not_kept_in_memory(size: int) -> None:
    long = CONVERSATION | {"system": 'x"\\' * 10_000}
    reading = Reading(5_000)
    data = json.dumps([CONVERSATION, long, CONVERSATION]).encode()
    found: list[Chat | Skipped] = []
    for start in range(0, len(data), size):
        found += reading.feed(data[start : start + size])
        assert size == 10**9 or len(reading._members._data) <= 5_000
    assert [isinstance(each, Chat) for each in found] == [True, False, True]
    assert found[1] == Skipped("", "It is longer than 5000 bytes (chats.longest_import).")


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"[", b'[{"items": []', b'{"items": [', b'["', b"x", b'"text"', b"1"]
)
def test_what_is_no_whole_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="Invalid JSON data"):
        read(body)


@given(
    st.lists(
        st.recursive(
            st.none() | st.integers() | st.text(alphabet='a"\\{}[],:é\n'),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"\\]}'), inner),
        )
    ),
    st.integers(1, 30),
)
def test_members_are_those_of_the_document(values: list[Any], size: int) -> None:
    for document in (values, {str(number): value for number, value in enumerate(values)}):
        body = msgspec.json.encode(document)
        members = Members(LONGEST)
        found: list[bytes] = []
        for start in range(0, len(body), size):
            found += [member or b"" for member in members.feed(body[start : start + size])]
        members.end()
        opened, closed = ("[", "]") if isinstance(document, list) else ("{", "}")
        assert json.loads(opened + ",".join(member.decode() for member in found) + closed) == document


def test_nothing_that_arrives_fails_in_a_way_of_its_own() -> None:
    chance = random.Random(7)
    body = bytearray(json.dumps([BRANCHED, CONVERSATION, own.written(only(CONVERSATION))]).encode())
    for _ in range(400):
        broken = bytearray(body)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.choice(b'[]{}",:\\x0 \xff')
        try:
            read(bytes(broken), size=chance.randrange(100, 3000))
        except BadRequest:
            continue


def test_a_message_of_ours_is_what_it_was() -> None:
    message = Message(number=1, role="user", content="Hi", created_at=1.0)
    assert only(own.written(Chat(id="c", title="", messages=[message]))).title == "Hi"


def test_what_is_read_and_written_is_described() -> None:
    """Everything that we write is, and whatever makes a chat one of theirs is required."""
    answer = Message(number=2, parent=1, role="assistant", content="Ho", model="m", finish="stop")
    answer.usage, answer.reasoning = {"total_tokens": 3}, "Hm."
    chat = Chat(id="c", title="Title", messages=[Message(number=1, role="user", content="Hi"), answer])
    ours, theirs = own.written(chat), gpt4free.conversation(chat, "s", 1)
    pairs = [
        (schemas.OURS, ours),
        (schemas.NODE, ours["tree"][1]),
        (schemas.CONVERSATION, theirs),
        (schemas.SHARED, theirs),
        (schemas.ITEM, theirs["items"][1]),
        (schemas.CHATGPT, BRANCHED),
    ]
    for schema, sample in pairs:
        assert set(schema["required"]) <= set(sample) <= {*schema["properties"], "is_archived"}
    for found, is_chat in ((ours, own.is_chat), (theirs, gpt4free.is_chat), (BRANCHED, chatgpt.is_chat)):
        assert is_chat(found)
