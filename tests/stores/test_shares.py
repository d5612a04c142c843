"""Shares: read by whoever has the id, written by their owner only, gone when they end."""

import json
import time
from contextlib import aclosing

import pytest

from service.errors import BadRequest, Forbidden, NotFound, TooLarge
from service.stores.chats import Chat, Chats, Message
from service.stores.database import Database
from service.stores.shares import KEPT_IDS, Shares, share_id

QUOTA = 1_000


@pytest.fixture
def shares(database: Database) -> Shares:
    return Shares(database, QUOTA)


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


async def posted(shares: Shares, id: str) -> tuple[int, bytes]:
    """What a reader gets, and by what he knows it again."""
    share = await shares.find(id)
    return share.updated, await shares.posted(id)


async def kept(chats: Chats, user: str = "ann", id: str = "c") -> Chat:
    """A chat that the server keeps."""
    chat = Chat(id=id, title="Sea", messages=[Message(number=1, role="user", content="Hi")])
    await chats.add(user, chat)
    return await chats.find(user, id)


async def test_what_was_posted_is_there_as_it_was(shares: Shares) -> None:
    await shares.post("ann", "s", 5, b'{"updated":5, "items":[]}', None)
    assert await posted(shares, "s") == (5, b'{"updated":5, "items":[]}')
    share = await shares.find("s")
    assert (share.user, share.chat, share.expires_at) == ("ann", None, None)


async def test_the_same_updated_changes_nothing_and_another_does(shares: Shares) -> None:
    await shares.post("ann", "s", 5, b'{"updated":5}', None)
    await shares.post("ann", "s", 5, b'{"updated":5,"more":1}', None)
    assert await posted(shares, "s") == (5, b'{"updated":5}')
    for updated in (6, 4, 0):
        await shares.post("ann", "s", updated, b"{}", None)
        assert await posted(shares, "s") == (updated, b"{}")


async def test_zero_is_a_number_like_any_other(shares: Shares) -> None:
    await shares.post("ann", "s", 0, b'{"updated":0}', None)
    assert await posted(shares, "s") == (0, b'{"updated":0}')


async def test_one_without_updated_gets_the_time_and_another_one_whenever_it_comes(shares: Shares) -> None:
    before = int(time.time() * 1000)
    seen = []
    for number in range(3):
        await shares.post("ann", "s", None, b'{"n":%d,"updated":null}' % number, None)
        updated, body = await posted(shares, "s")
        assert json.loads(body) == {"n": number, "updated": updated}
        seen.append(updated)
    assert before <= seen[0] < seen[1] < seen[2]


async def test_nobody_else_writes_or_ends_it(shares: Shares) -> None:
    await shares.post("ann", "s", 5, b"{}", None)
    with pytest.raises(Forbidden):
        await shares.post("bob", "s", 6, b"[]", None)
    assert not await shares.remove("bob", "s")
    assert await posted(shares, "s") == (5, b"{}")


async def test_what_was_ended_is_gone_and_its_id_stays_its_owners(shares: Shares) -> None:
    await shares.post("ann", "s", 5, b"{}", None)
    assert await shares.remove("ann", "s")
    assert not await shares.remove("ann", "s")
    for read in (shares.find, shares.posted):
        with pytest.raises(NotFound):
            await read("s")
    with pytest.raises(Forbidden):  # its readers know the id
        await shares.post("bob", "s", 5, b"{}", None)
    await shares.post("ann", "s", 5, b'{"again":true}', None)
    assert await posted(shares, "s") == (5, b'{"again":true}')


async def test_what_expires_is_gone_and_can_be_shared_anew(shares: Shares, database: Database) -> None:
    await shares.post("ann", "s", 5, b"{}", -1)
    with pytest.raises(NotFound):
        await shares.find("s")
    await shares.sweep()
    with pytest.raises(NotFound):
        await shares.posted("s")
    with pytest.raises(Forbidden):
        await shares.post("bob", "s", 5, b"{}", None)
    await shares.post("ann", "s", 5, b"{}", 60)
    assert (await shares.find("s")).expires_at == pytest.approx(time.time() + 60, abs=30)
    await shares.sweep()
    assert await posted(shares, "s") == (5, b"{}")


async def test_in_the_end_the_id_is_nobodys(shares: Shares) -> None:
    await shares.post("ann", "s", 5, b"{}", -KEPT_IDS - 1)
    await shares.sweep()
    await shares.post("bob", "s", 7, b"{}", None)
    assert (await shares.find("s")).user == "bob"


async def test_a_user_shares_no_more_than_his_quota(shares: Shares) -> None:
    await shares.post("ann", "a", 1, b"x" * QUOTA, None)
    with pytest.raises(TooLarge, match=r"1000 bytes \(chats.share_quota\)"):
        await shares.post("ann", "b", 1, b"x", None)
    await shares.post("bob", "b", 1, b"x", None)
    await shares.post("ann", "a", 2, b"x" * (QUOTA - 1), None)
    await shares.post("ann", "c", 2, b"x", None)
    await shares.remove("ann", "a")
    await shares.post("ann", "d", 1, b"x" * (QUOTA - 1), None)


async def test_a_chat_of_the_server_is_shared_under_an_id_that_stays(shares: Shares, chats: Chats) -> None:
    chat = await kept(chats)
    share = await shares.share("ann", "c", None)
    assert len(share.id) == 32
    assert (await shares.share("ann", "c", 60)).id == share.id
    found = await shares.find(share.id)
    assert (found.user, found.chat, found.updated) == ("ann", "c", int(chat.updated_at * 1000))
    assert found.expires_at == pytest.approx(time.time() + 60, abs=30)
    assert (await chats.find("ann", "c")).share == share.id


async def test_a_client_that_posts_a_chat_which_the_server_keeps_changes_nothing(
    shares: Shares, chats: Chats
) -> None:
    await kept(chats)
    share = await shares.share("ann", "c", None)
    await shares.post("ann", share.id, 99, b"{}", None)
    assert (await shares.find(share.id)).chat == "c"


async def test_a_share_is_known_again_until_something_is_seen_to_change(shares: Shares, chats: Chats) -> None:
    chat = await kept(chats)
    share = await shares.share("ann", "c", None)
    seen = [(await shares.find(share.id)).updated]
    await chats.change("ann", "c", starred=True)
    assert (await shares.find(share.id)).updated == seen[0]
    for change in ({"title": "Lake"}, {"leaf": chat.messages[0].number}, {"title": "Pond"}):
        await chats.change("ann", "c", **change)
        seen.append((await shares.find(share.id)).updated)
    assert len(set(seen)) == 4


@pytest.mark.parametrize("how", ["unshare", "remove", "expire", "with the chat"])
async def test_the_share_of_a_chat_ends(how: str, shares: Shares, chats: Chats) -> None:
    await kept(chats)
    share = await shares.share("ann", "c", -1 if how == "expire" else None)
    match how:
        case "unshare":
            await shares.unshare("ann", "c")
        case "remove":
            assert await shares.remove("ann", share.id)
        case "expire":
            await shares.sweep()
        case _:
            await chats.remove("ann", "c")
            await kept(chats)  # a chat of the same name is another one
    with pytest.raises(NotFound):
        await shares.find(share.id)
    assert (await chats.find("ann", "c")).share is None
    with pytest.raises(NotFound):
        await shares.unshare("ann", "c")
    assert (await shares.share("ann", "c", None)).id != share.id


async def test_a_chat_is_shared_by_its_owner_only(shares: Shares, chats: Chats) -> None:
    await kept(chats)
    share = await shares.share("ann", "c", None)
    for id in ("c", share.id, "nothing", "\0"):
        for act in (shares.share("bob", id, None), shares.unshare("bob", id)):
            with pytest.raises(NotFound):
                await act
    assert (await shares.find(share.id)).user == "ann"


async def test_all_of_a_user_is_listed_and_forgotten(shares: Shares, chats: Chats) -> None:
    await kept(chats)
    await shares.share("ann", "c", None)
    await shares.post("ann", "s", 5, b"{}", None)
    await shares.post("ann", "old", 5, b"{}", -1)
    await shares.post("bob", "b", 5, b"{}", None)
    async with aclosing(shares.all("ann")) as listed:
        found = {(share.chat, body) async for share, body in listed}
    assert found == {("c", None), (None, b"{}")}
    await shares.forget("ann")
    async with aclosing(shares.all("ann")) as listed:
        assert [share async for share in listed] == []
    assert await posted(shares, "b") == (5, b"{}")


@pytest.mark.parametrize("text", ["", "_", "-", ".", "..", "...", "%2e%2e", "%5f", "+", " "])
def test_what_has_neither_letter_nor_digit_is_no_id(text: str) -> None:
    with pytest.raises(BadRequest):
        share_id(text)
