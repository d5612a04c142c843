"""Chats in both databases: kept, listed, found by their words, changed, removed; and only by their users."""

import asyncio
import time
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from service.errors import NotFound, TooLarge
from service.sources import load
from service.stores.chats import Chat, Chats, Message
from service.stores.chats_content import INLINE, WORDS, digest, kept
from service.stores.chats_list import Listed, Wanted
from service.stores.chats_rows import BATCH, owner, place_of
from service.stores.database import Database
from service.stores.retention import remove_old_chats
from service.stores.schema_chats import chat_words, chats, messages
from service.stores.snippets import LENGTH, snippet
from service.stores.words import LONGEST, terms

DAY = 86_400.0


@pytest.fixture
def store(database: Database) -> Chats:
    return Chats(database)


def dialogue(id: str, *texts: Any, title: str = "Some title", **about: Any) -> Chat:
    """A chat of questions and answers, one below the other."""
    said = [
        Message(role="assistant" if place % 2 else "user", parent=place or None, content=text)
        for place, text in enumerate(texts)
    ]
    return Chat(id=id, title=title, leaf=len(texts) or None, messages=said, **about)


async def page(store: Chats, user: str = "ann", count: int = 50, **wanted: Any) -> list[Listed]:
    found, _ = await store.page(user, Wanted(**wanted), None, count)
    return found


async def found(store: Chats, words: str, user: str = "ann") -> list[str]:
    return sorted(chat.id for chat in await page(store, user, words=words))


async def rows(database: Database) -> list[int]:
    """How many there are of everything that a chat is made of."""
    tables = [
        select(func.count().label("count")).select_from(table) for table in (chats, messages, chat_words)
    ]
    return [(await database.read(table))[0]["count"] for table in tables]


async def test_a_chat_comes_back_as_it_was(store: Chats) -> None:
    chat = dialogue("c", "Hello", [{"type": "text", "text": "Hi"}], starred=True, settings={"model": "m"})
    answer = chat.messages[1]
    answer.reasoning, answer.model, answer.provider, answer.finish = "Hm.", "m", "p", "stop"
    answer.usage, answer.sources, answer.turn = {"total_tokens": 3}, [{"file": "a.txt"}], "t"
    assert await store.add("ann", chat) == "c"
    back = await store.find("ann", "c")
    first, second = (message.number for message in back.messages)
    assert [message.parent for message in back.messages] == [None, first]
    assert back.leaf == second > first
    for message, same in zip(back.messages, chat.messages, strict=True):
        message.number, message.parent = same.number, same.parent
    back.leaf = chat.leaf
    assert back == chat


async def test_what_is_anothers_is_not_there(store: Chats) -> None:
    await store.add("ann", dialogue("c", "A secret"))
    for attempt in (
        store.find("bob", "c"),
        store.listed("bob", "c"),
        store.change("bob", "c", title="Mine"),
        store.remove("bob", "c"),
        store.find("ann", "\0"),
        store.find("ann", "x" * 9_999),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await page(store, "bob") == []
    assert await found(store, "secret", "bob") == []
    assert await store.remove_all("bob") == 0
    await store.add("bob", dialogue("c", "Nothing"))
    assert (await store.find("ann", "c")).messages[0].content == "A secret"


async def test_an_id_that_is_taken_is_not_taken_twice(store: Chats) -> None:
    ids = await asyncio.gather(*(store.add("ann", dialogue("c", f"Text {number}")) for number in range(5)))
    assert len(set(ids)) == 5
    assert "c" in ids
    contents = [(await store.find("ann", id)).messages[0].content for id in ids]
    assert sorted(contents) == [f"Text {number}" for number in range(5)]


async def test_numbers_go_on_after_a_restart(store: Chats, database: Database) -> None:
    await store.add("ann", dialogue("c", "One"))
    await Chats(database).add("ann", dialogue("d", "Two"))
    assert (await store.find("ann", "c")).messages[0].content == "One"
    assert (await store.find("ann", "d")).messages[0].content == "Two"


async def test_the_list_has_the_last_used_first_and_goes_on(store: Chats) -> None:
    now = time.time()
    for number in range(7):
        await store.add("ann", dialogue(f"c{number}", "Hi", "Ho", updated_at=now + number // 2))
    seen, mark = [], None
    for _ in range(4):
        listed, mark = await store.page("ann", Wanted(), mark, 2)
        seen += [chat.id for chat in listed]
        if mark is None:
            break
    assert seen == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]
    assert {chat.messages for chat in await page(store)} == {2}


@pytest.mark.parametrize("mark", ["", "x", "1_", "nan_1", "1_99999999999999999999"])
async def test_what_is_no_mark_is_refused(store: Chats, mark: str) -> None:
    with pytest.raises(ValueError):
        await store.page("ann", Wanted(), mark)


async def test_the_list_has_what_is_wanted(store: Chats) -> None:
    for id, starred, archived in (("a", True, False), ("b", False, True), ("c", False, False)):
        await store.add("ann", dialogue(id, "Hi", starred=starred, archived=archived))
    assert [chat.id for chat in await page(store, starred=True)] == ["a"]
    assert [chat.id for chat in await page(store, archived=True)] == ["b"]
    assert [chat.id for chat in await page(store, archived=False)] == ["c", "a"]
    assert [chat.id for chat in await page(store, archived=False, words="hi", starred=False)] == ["c"]


async def test_what_is_changed_stays_changed(store: Chats) -> None:
    await store.add("ann", dialogue("c", "Hi", "Ho", title="Before"))
    first, _ = (await store.find("ann", "c")).messages
    await store.change(
        "ann",
        "c",
        title="  After\nthe  flood ",
        starred=True,
        settings={"system": "Be brief"},
        leaf=first.number,
    )
    chat = await store.find("ann", "c")
    assert (chat.title, chat.starred, chat.archived) == ("After the flood", True, False)
    assert (chat.settings, chat.leaf) == ({"system": "Be brief"}, first.number)
    assert await found(store, "flood") == ["c"]
    assert await found(store, "before") == []
    await store.change("ann", "c")


@pytest.mark.parametrize("leaf", [0, -1, 2**62, 2**70])
async def test_a_leaf_is_a_message_of_the_chat(store: Chats, leaf: int) -> None:
    await store.add("ann", dialogue("c", "Hi"))
    await store.add("ann", dialogue("d", "Hi"))
    other = (await store.find("ann", "d")).messages[0].number
    for number in (leaf, other):
        with pytest.raises(NotFound):
            await store.change("ann", "c", leaf=number)


async def test_what_is_removed_leaves_nothing(store: Chats, database: Database) -> None:
    await store.add("ann", dialogue("long", *["Hi"] * (2 * BATCH + 3)))
    await store.add("ann", dialogue("next", "Hi"))
    await store.add("bob", dialogue("his", "Hi"))
    await store.remove("ann", "long")
    assert await rows(database) == [2, 2, 4]
    assert await found(store, "hi") == ["next"]
    assert await store.remove_all("ann") == 1
    assert await rows(database) == [1, 1, 2]


TEXTS = {
    "code": "The launch code of the rocket is PINEAPPLE-42.",
    "contract": "Срок действия договора составляет три года со дня подписания.",
    "tokyo": "東京都の人口は約千四百万人です。",
    "refunds": "Refunds are granted within fourteen days; companies must ask in writing.",
    "tree": "Ёлка стоит в большой комнате у окна.",
    "vertrag": "Der Vertrag läuft über zwölf Monate.",
}


@pytest.mark.parametrize(
    ("words", "id"),
    [
        ("pineapple-42", "code"),
        ("rock launch", "code"),
        ("PINE", "code"),
        ("pi", "code"),
        ("rocket la", "code"),
        ("rocket lab", None),
        ("p", None),
        ("pineapple 4", None),
        ("договоры", "contract"),
        ("ДОГОВОР срока", "contract"),
        ("東京の人口", None),
        ("東京都", "tokyo"),
        ("人口", "tokyo"),
        ("約", "tokyo"),
        ("company refunded", "refunds"),
        ("refunds rocket", None),
        ("елку", "tree"),
        ("бол", "tree"),
        ("ко", "tree"),
        ("lauft", "vertrag"),
        ('"', None),
        ("code* OR refunds", None),
        ("NEAR(", None),
        ("'); DROP TABLE chats; --", None),
        ("\0", None),
    ],
)
async def test_chats_are_found_by_all_of_the_words(store: Chats, words: str, id: str | None) -> None:
    for name, text in TEXTS.items():
        await store.add("ann", dialogue(name, "What?", text))
    assert await found(store, words) == ([id] if id else [])


async def test_a_chat_is_found_once_with_the_title_or_its_newest_hit(store: Chats) -> None:
    await store.add("ann", dialogue("c", "An apple", "No apple here, but a pear", "Nothing", title="Fruit"))
    (chat,) = await page(store, words="apple")
    numbers = [message.number for message in (await store.find("ann", "c")).messages]
    assert chat.message == numbers[1]
    assert chat.snippet == [("No ", False), ("apple", True), (" here, but a pear", False)]
    (chat,) = await page(store, words="fruits")
    assert (chat.message, chat.snippet) == (None, [("Fruit", True)])


async def test_the_word_of_an_owner_cannot_be_looked_up(store: Chats) -> None:
    await store.add("ann", dialogue("c", "Hi"))
    assert await found(store, owner("ann")) == []
    assert await found(store, owner("ann")[:LONGEST]) == []


async def test_the_longest_message_is_kept_and_found(store: Chats) -> None:
    long = " ".join(f"word{number}" for number in range(200_000))
    await store.add("ann", dialogue("c", long, "東" * WORDS + "京" * WORDS))
    content = (await store.find("ann", "c")).messages[0].content
    assert len(content) == 2**20
    assert long.startswith(content.removesuffix(" […]"))
    assert await found(store, "word7") == ["c"]


async def test_unspeakable_texts_are_kept(store: Chats) -> None:
    strange = "a\0b \u202e <script>"
    await store.add("ann", dialogue("c", strange, title="x\0y"))
    assert (await store.find("ann", "c")).messages[0].content == strange
    assert (await store.find("ann", "c")).title == "x\ufffdy"
    assert await found(store, "script") == ["c"]


async def test_there_is_room_for_so_much(database: Database) -> None:
    few = replace(load({}).chats, user_chats=2, chat_messages=3)
    store = Chats(database, few)
    with pytest.raises(TooLarge, match=r"chats\.chat_messages"):
        await store.add("ann", dialogue("c", "1", "2", "3", "4"))
    for id in ("c", "d"):
        await store.add("ann", dialogue(id, "1", "2", "3"))
    with pytest.raises(TooLarge, match=r"chats\.user_chats"):
        await store.add("ann", dialogue("e", "1"))
    await store.add("bob", dialogue("e", "1"))


async def test_old_chats_go_unless_they_are_starred(store: Chats) -> None:
    now = time.time()
    for id, days, starred in (("old", 31, False), ("star", 31, True), ("new", 29, False)):
        await store.add("ann", dialogue(id, "Hi", starred=starred, updated_at=now - days * DAY))
    await remove_old_chats(store, 30)
    assert sorted(chat.id for chat in await page(store)) == ["new", "star"]


async def test_an_old_chat_that_is_used_again_stays(store: Chats) -> None:
    await store.add("ann", dialogue("c", "Hi"))
    with pytest.raises(NotFound):
        await store.remove("ann", "c", time.time() - DAY)
    assert await page(store)


def test_a_message_is_known_again_however_it_is_written() -> None:
    said = digest("user", "Hello ")
    assert said == digest("user", [{"type": "text", "text": "Hello"}])
    others: list[Any] = ["Hello!", [], [{"type": "text", "text": "Hello"}, {"bucket_id": "b"}]]
    assert said not in {digest("assistant", "Hello"), *(digest("user", other) for other in others)}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = [{"type": "tool_calls", "tool_calls": [call]}]
    assert digest("assistant", calls) == digest(
        "assistant", [{"type": "tool_calls", "tool_calls": [call | {"index": 0}]}]
    )


PICTURE = "data:image/png;base64," + "A" * 4 * INLINE


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (
            [{"type": "image_url", "image_url": {"url": PICTURE}}],
            [{"type": "text", "text": "[image/png, 49 kB: not kept]"}],
        ),
        (
            [{"type": "input_audio", "input_audio": {"data": "A" * 2 * INLINE, "format": "wav"}}],
            [{"type": "text", "text": "[input_audio, 24 kB: not kept]"}],
        ),
        (
            [{"bucket_id": "b", "name": "a.png", "url": PICTURE}],
            [{"bucket_id": "b", "name": "a.png"}],
        ),
        ([{"bucket_id": "b", "name": "a.png"}], [{"bucket_id": "b", "name": "a.png"}]),
        (f"See ![]({PICTURE})!", "See ![]([image/png, 49 kB: not kept])!"),
        ("See ![](data:image/png;base64,AAAA)", "See ![](data:image/png;base64,AAAA)"),
        (None, ""),
    ],
)
def test_what_is_too_long_is_not_kept(content: Any, left: Any) -> None:
    assert kept(content, 10**6) == left


def test_what_is_cut_says_so() -> None:
    assert kept("x" * 2_000, 1_000) == "x" * 996 + " […]"
    assert kept([{"type": "text", "text": "x" * 2_000}], 1_000)[0]["text"] == "x" * 996 + " […]"
    assert len(kept([{"type": "text", "text": "x" * 999}] * 5, 1_000)) == 1_000


def test_a_snippet_is_short_and_begins_at_a_word() -> None:
    text = "One two three. " * 40 + "Here\nis the\tneedle, and a needle more. " + "Four five six. " * 40
    pieces = snippet(text, terms("needles"))
    assert [piece for piece, hit in pieces if hit] == ["needle", "needle"]
    assert pieces[0][0].startswith("…") and pieces[-1][0].endswith("…")
    assert "Here is the " in pieces[0][0]
    assert pieces[0][0][1:].split()[0] in {"One", "two", "three."}
    assert len("".join(piece for piece, _ in pieces)) <= LENGTH + 2


@pytest.mark.parametrize(
    ("text", "words", "hits"),
    [
        ("東京都の人口は約", "京都の", ["京都の"]),
        ("Ёлки-палки", "елка", ["Ёлки"]),
        ("foo東京bar", "東京", ["東京"]),
        ("Nothing", "else", []),
    ],
)
def test_hits_are_marked_in_every_script(text: str, words: str, hits: list[str]) -> None:
    pieces = snippet(text, terms(words))
    assert [piece for piece, hit in pieces if hit] == hits
    assert "".join(piece for piece, _ in pieces) == text


def test_numbers_of_a_chat_lie_together() -> None:
    assert place_of(3, 1) < place_of(3, 2) < place_of(4, 0) < 2**53
