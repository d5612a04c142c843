"""Files in the background: read in turn, told when they are, gone without a trace, never over a quota."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from service.documents.extraction import Document, Page, Picture
from service.documents.kinds import Kind
from service.errors import DocumentRefused, NotFound, StorageFull, TooLarge, Unavailable
from service.sources import load
from service.stores.blobs import Directory
from service.stores.buckets import Buckets, File
from service.stores.database import Database
from service.tasks import Tasks
from service.turns.filing import Filing
from service.turns.rounds import Rounds
from service.turns.space import Space
from tests.stores.opened import opened
from tests.upstream import until

SOUND = b"ID3\0" + b"a" * 96
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


class Scripted:
    """A reader that says what a file says, when it may; `failures` by the names of files."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.may = asyncio.Event()
        self.may.set()
        self.failures: dict[str, Exception] = {}

    async def text(self, path: Path, name: str, kind: Kind) -> Document:
        self.read.append(name)
        await self.may.wait()
        if error := self.failures.get(name):
            raise error
        text = await asyncio.to_thread(path.read_text)
        return Document((Page(1, None, text), Page(2, "b", "Second")), {"author": "Ann"}, kind.media_type)

    async def picture(self, path: Path, thumbnail: Path, name: str = "") -> Picture:
        if error := self.failures.get(name):
            raise error
        await asyncio.to_thread(thumbnail.write_bytes, b"small")
        return Picture(4, 3, "image/png")

    async def seconds(self, path: Path, name: str) -> float | None:
        if error := self.failures.get(name):
            raise error
        return 2.5

    async def close(self) -> None:
        """Nothing runs."""


class Sent:
    """A file that a client sends."""

    def __init__(self, filename: str | None, *pieces: bytes | Exception) -> None:
        self.filename = filename
        self.chunks = self._chunks(pieces)

    async def _chunks(self, pieces: tuple[bytes | Exception, ...]) -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Desk:
    """Files with what they stand on."""

    def __init__(self, database: Database, folder: Path, reader: Scripted, **limits: int) -> None:
        settings = load({f"CAUSERIE_FILES_{name.upper()}": str(limit) for name, limit in limits.items()})
        self.folder, self.tasks = folder, Tasks()
        self.filing = Filing(Buckets(database), Directory(folder), reader, settings.files, self.tasks)

    async def upload(self, *sent: Sent, user: str = "ann", bucket: str = "b") -> list[File]:
        async with self.filing.upload(user, bucket) as upload:
            for each in sent:
                await upload.add(each)
            return await self.filing.keep(upload)

    async def settled(self, user: str = "ann", bucket: str = "b") -> list[File]:
        async with aclosing(self.filing.progress(user, bucket, 5)) as changes:
            *_, files = [list(files) async for files in changes]
        return files

    def blobs(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def reader() -> Scripted:
    return Scripted()


@asynccontextmanager
async def running(
    database: Database, folder: Path, reader: Scripted, readers: int = 1, **limits: int
) -> AsyncGenerator[Desk, None]:
    desk = Desk(database, folder, reader, **limits)
    await desk.filing.open(readers)
    try:
        yield desk
    finally:
        await desk.filing.close()
        await desk.tasks.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database, None]:
    async with opened(tmp_path / "causerie.db") as database:
        yield database


@pytest.fixture
async def desk(database: Database, tmp_path: Path, reader: Scripted) -> AsyncGenerator[Desk, None]:
    limits = {
        "file_limit": 100,
        "bucket_limit": 250,
        "bucket_files": 4,
        "user_quota": 300,
        "total_quota": 500,
    }
    async with running(database, tmp_path / "files", reader, **limits) as desk:
        yield desk


async def told(desk: Desk, files: list[File]) -> str:
    async with aclosing(desk.filing.texts.bucket(files)) as pieces:
        return "".join([piece async for piece in pieces])


# Reading


async def test_a_document_is_read_and_told(desk: Desk) -> None:
    (waiting,) = await desk.upload(Sent("a.txt", b"First\n"))
    assert waiting.state == "waiting"
    (ready,) = await desk.settled()
    assert (ready.state, ready.pages, ready.characters) == ("ready", 2, 12)
    assert await told(desk, [ready]) == "<!-- File: a.txt -->\nFirst\n\n\nSecond\n<-- End -->\n\n"
    document = await desk.filing.texts.document(ready)
    assert document.pages == (Page(1, None, "First\n"), Page(2, "b", "Second"))
    assert (document.metadata, document.media_type) == ({"author": "Ann"}, "text/plain")


async def test_what_is_to_be_done_with_a_text_is_done_before_it_is_ready(desk: Desk) -> None:
    seen = []

    async def index(file: File, document: Document) -> None:
        (stored,) = await desk.filing.buckets.bucket("ann", "b")
        seen.append((file.name, len(document.pages), stored.state))

    desk.filing.reading.after.append(index)
    await desk.upload(Sent("a.txt", b"x"))
    await desk.settled()
    assert seen == [("a.txt", 2, "waiting")]


async def test_a_document_that_is_refused_says_why_and_the_others_are_read(
    desk: Desk, reader: Scripted
) -> None:
    reader.failures = {"a.txt": DocumentRefused("a.txt has more pages than 5 (documents.pages).")}
    await desk.upload(Sent("a.txt", b"x"), Sent("b.txt", b"y"))
    failed, ready = await desk.settled()
    assert (failed.state, failed.reason) == ("failed", "a.txt has more pages than 5 (documents.pages).")
    assert ready.state == "ready"
    assert "(This file could not be read: a.txt has more pages" in await told(desk, [failed, ready])


async def test_a_reader_that_breaks_costs_one_file(
    desk: Desk, reader: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    reader.failures = {"a.txt": RuntimeError("secret")}
    await desk.upload(Sent("a.txt", b"x"), Sent("b.txt", b"y"))
    failed, ready = await desk.settled()
    assert (failed.state, ready.state) == ("failed", "ready")
    assert "secret" not in (failed.reason or "")
    assert "cannot be read" in caplog.text


async def test_what_fails_for_now_is_tried_again(
    desk: Desk, reader: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.turns.reading.PAUSE_SECONDS", 0.05)
    reader.failures = {"a.txt": Unavailable("No process can be started.")}
    await desk.upload(Sent("a.txt", b"x"))
    await until(lambda: len(reader.read) > 1)
    reader.failures = {}
    assert (await desk.settled())[0].state == "ready"


async def test_the_same_file_that_failed_is_read_again(desk: Desk, reader: Scripted) -> None:
    reader.failures = {"a.txt": DocumentRefused("Not now.")}
    (first,) = await desk.upload(Sent("a.txt", b"x"))
    await desk.settled()
    reader.failures = {}
    (second,) = await desk.upload(Sent("a.txt", b"x"))
    assert (second.id, second.state) == (first.id, "waiting")
    (ready,) = await desk.settled()
    assert (ready.state, ready.reason) == ("ready", None)


async def test_what_a_former_process_left_is_read(
    database: Database, tmp_path: Path, reader: Scripted
) -> None:
    reader.may.clear()
    async with running(database, tmp_path / "files", reader) as desk:
        await desk.upload(Sent("a.txt", b"x"), Sent("b.txt", b"y"))
        await until(lambda: bool(reader.read))
    reader.may.set()
    async with running(database, tmp_path / "files", reader) as desk:
        assert [file.state for file in await desk.settled()] == ["ready", "ready"]


async def test_who_has_much_keeps_nobody_waiting(
    database: Database, tmp_path: Path, reader: Scripted
) -> None:
    reader.may.clear()
    async with running(database, tmp_path / "files", reader) as desk:
        await desk.upload(*(Sent(f"{number}.txt", str(number).encode()) for number in range(50)))
        await desk.upload(Sent("bob.txt", b"x"), user="bob")
        await desk.upload(Sent("cy-1.txt", b"x"), Sent("cy-2.txt", b"x"), user="cy")
        reader.may.set()
        await desk.settled("bob")
        await desk.settled("cy")
        assert len(reader.read) <= 7
        await desk.settled()
    assert reader.read[:7] == ["0.txt", "1.txt", "bob.txt", "cy-1.txt", "2.txt", "cy-2.txt", "3.txt"]


async def test_rounds_take_one_of_each() -> None:
    rounds: Rounds[int] = Rounds()
    for user, work in (("a", 1), ("a", 2), ("a", 3), ("b", 10), ("c", 20), ("c", 21)):
        rounds.add(user, work)
    assert len(rounds) == 6
    assert [await rounds.next() for _ in range(6)] == [1, 10, 20, 2, 21, 3]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rounds.next(), 0.01)
    rounds.add("a", 4)
    assert await rounds.next() == 4


async def test_progress_says_so_now_and_then_and_ends(desk: Desk, reader: Scripted) -> None:
    reader.may.clear()
    await desk.upload(Sent("a.txt", b"x"))
    async with aclosing(desk.filing.progress("ann", "b", 0.01)) as changes:
        assert [(await anext(changes))[0].state for _ in range(3)] == ["waiting"] * 3
        reader.may.set()
        assert (await anext(changes))[0].state in {"waiting", "ready"}
        assert [files[0].state async for files in changes][-1:] in ([], ["ready"])


async def test_progress_of_what_is_removed_ends(desk: Desk, reader: Scripted) -> None:
    reader.may.clear()
    await desk.upload(Sent("a.txt", b"x"))
    async with aclosing(desk.filing.progress("ann", "b", 5)) as changes:
        await anext(changes)
        await desk.filing.remove("ann", "b")
        with pytest.raises(NotFound):
            await anext(changes)


# Uploads are whole


async def test_all_or_nothing(desk: Desk) -> None:
    with pytest.raises(ValueError, match="cut"):
        await desk.upload(Sent("a.txt", b"x" * 50), Sent("b.txt", b"y", ValueError("cut")))
    assert desk.blobs() == []
    assert await desk.filing.buckets.of("ann") == []
    assert desk.filing.space.used("ann") == 0


async def test_an_upload_that_is_not_kept_leaves_nothing(desk: Desk) -> None:
    async with desk.filing.upload("ann", "b") as upload:
        await upload.add(Sent("a.txt", b"x"))
        assert len(desk.blobs()) == 1
    assert desk.blobs() == []
    assert desk.filing.space.used("ann") == 0


async def test_who_leaves_while_it_is_kept_has_all_of_it_or_nothing(desk: Desk) -> None:
    for moment in range(12):

        async def leave(bucket: str = f"b{moment}") -> None:
            await desk.upload(Sent("a.txt", b"x"), bucket=bucket)

        uploading = desk.tasks.start(leave(), "an upload")
        for _ in range(moment * 3):
            await asyncio.sleep(0)
        uploading.cancel()
        await asyncio.wait([uploading])
    await until(lambda: len(desk.tasks) <= 2)
    kept = {bucket.id for bucket in await desk.filing.buckets.of("ann")}
    for id in kept:
        await desk.settled(bucket=id)
    whole = [name for name in desk.blobs() if "." not in name]
    assert len(whole) == len(kept)
    assert desk.filing.space.used("ann") == len(kept)


async def test_what_nobody_can_read_is_skipped(desk: Desk) -> None:
    assert await desk.upload(Sent("evil.exe", b"MZ\0\0"), Sent("x.bin", b"\0\1\2\3" * 10)) == []
    (kept,) = await desk.upload(Sent("evil.exe", b"MZ\0\0"), Sent("a.txt", b"x"))
    assert kept.name == "a.txt"
    await desk.settled()
    assert len(desk.blobs()) == 2
    assert desk.filing.space.used("ann") == 1 + len("xSecond")


async def test_a_picture_is_measured_and_has_a_small_one(desk: Desk, reader: Scripted) -> None:
    (picture,) = await desk.upload(Sent("a.png", PNG))
    assert (picture.kind, picture.width, picture.height, picture.state) == ("image", 4, 3, "ready")
    assert desk.blobs() == [picture.blob, picture.thumbnail_blob]
    reader.failures = {"b.png": DocumentRefused("b.png has more pixels than 9 (documents.pixels).")}
    with pytest.raises(DocumentRefused, match=r"\(documents.pixels\)"):
        await desk.upload(Sent("a.txt", b"x"), Sent("b.png", PNG))
    assert desk.blobs() == [picture.blob, picture.thumbnail_blob]


async def test_a_small_beginning_tells_what_it_is(desk: Desk) -> None:
    (picture,) = await desk.upload(Sent(None, b"", PNG[:2], PNG[2:5], PNG[5:]))
    assert (picture.kind, picture.name, picture.media_type) == ("image", "file.png", "image/png")


# Limits


@pytest.mark.parametrize(
    ("sizes", "limit"),
    [
        ([101], "files.file_limit"),
        ([100, 100, 51], "files.bucket_limit"),
        ([1, 1, 1, 1, 1], "files.bucket_files"),
    ],
)
async def test_a_limit_is_named_and_costs_the_whole_upload(desk: Desk, sizes: list[int], limit: str) -> None:
    with pytest.raises(TooLarge, match=limit):
        await desk.upload(*(Sent(f"{index}.txt", b"x" * size) for index, size in enumerate(sizes)))
    assert desk.blobs() == []
    assert desk.filing.space.used("ann") == 0


async def test_limits_of_a_bucket_count_what_is_there(desk: Desk) -> None:
    await desk.upload(Sent("a.txt", b"a" * 100), Sent("b.txt", b"b" * 100))
    with pytest.raises(TooLarge, match=r"250 bytes \(files.bucket_limit\)"):
        await desk.upload(Sent("c.txt", b"c" * 51))
    await desk.upload(Sent("c.txt", b"c" * 50))
    await desk.upload(Sent("d.txt", b""))
    with pytest.raises(TooLarge, match=r"limit of 4 \(files.bucket_files\)"):
        await desk.upload(Sent("e.txt", b""))


async def test_quotas_count_all_buckets_and_what_is_deleted_is_free_again(desk: Desk) -> None:
    for bucket in ("1", "2", "3"):
        await desk.upload(Sent("a.mp3", SOUND), bucket=bucket)
    with pytest.raises(TooLarge, match=r"300 bytes \(files.user_quota\)"):
        await desk.upload(Sent("a.txt", b"a"), bucket="4")
    await desk.upload(Sent("a.mp3", SOUND), Sent("b.mp3", SOUND), user="bob")
    with pytest.raises(TooLarge, match=r"500 bytes \(files.total_quota\)"):
        await desk.upload(Sent("a.txt", b"a"), user="cy")
    await desk.filing.remove("ann", "2")
    await desk.upload(Sent("a.mp3", SOUND), user="cy")
    assert [desk.filing.space.used(user) for user in ("ann", "bob", "cy", "dan")] == [200, 200, 100, 0]


async def test_the_same_file_once_more_takes_no_room(desk: Desk, reader: Scripted) -> None:
    for _ in range(9):
        await desk.upload(Sent("a.txt", b"a" * 70), Sent("a.txt", b"a" * 70))
    await desk.settled()
    assert desk.filing.space.used("ann") == 70 + len("a" * 70 + "Second")
    assert reader.read == ["a.txt"]
    assert len(desk.blobs()) == 2


async def test_a_full_upload_can_be_tried_again(desk: Desk) -> None:
    """Whatever limit is reached: of bytes and of files in a bucket, and of a user's bytes."""
    full = [(f"{number}.mp3", SOUND[:-number]) for number in (38, 39, 60)]
    for _ in range(3):
        kept = await desk.upload(*(Sent(*each) for each in full))
        assert [file.name for file in kept] == [name for name, _ in full]
    assert sum(file.bytes for file in await desk.settled()) == desk.filing.space.used("ann") == 163
    with pytest.raises(TooLarge, match=r"250 bytes \(files.bucket_limit\)"):
        await desk.upload(Sent("38.mp3", SOUND))
    assert desk.filing.space.used("ann") == 163


async def test_the_same_file_many_times_at_once_gets_past_no_quota(desk: Desk) -> None:
    """One that comes again may need no room, but only once at a time."""
    await desk.upload(Sent("a.mp3", SOUND), bucket="1")
    await desk.upload(Sent("a.mp3", SOUND), bucket="2")
    await desk.upload(Sent("a.mp3", SOUND[:90]), bucket="3")
    done = await asyncio.gather(
        *(desk.upload(Sent("a.mp3", SOUND[:50], SOUND[50:]), bucket="1") for _ in range(5)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["TooLarge"] * 4 + ["list"]
    assert desk.filing.space.used("ann") == 290


async def test_a_text_for_which_there_is_no_room_is_refused(desk: Desk) -> None:
    await desk.upload(Sent("a.txt", b"a" * 100), Sent("b.txt", b"b" * 80))
    files = await desk.settled()
    assert [(file.name, file.state) for file in files] == [("a.txt", "ready"), ("b.txt", "failed")]
    assert "300 bytes (files.user_quota)" in (files[1].reason or "")
    assert desk.filing.space.used("ann") == sum(file.room for file in files) == 286
    await desk.filing.remove("ann", "b")
    assert desk.filing.space.used("ann") == 0
    assert desk.blobs() == []


async def test_sounds_and_films_have_their_seconds_and_are_kept_without(desk: Desk, reader: Scripted) -> None:
    reader.failures["b.mp3"] = DocumentRefused("It made its reader crash.", "files")
    film = b"\0\0\0\x14ftypisom" + bytes(8)
    kept = await desk.upload(Sent("a.mp3", SOUND), Sent("b.mp3", SOUND), Sent("c.mp4", film))
    assert [(file.kind, file.duration, file.state) for file in kept] == [
        ("audio", 2.5, "ready"),
        ("audio", None, "ready"),
        ("video", 2.5, "ready"),
    ]


async def test_many_uploads_at_once_do_not_get_past_a_quota(desk: Desk) -> None:
    uploads = (desk.upload(Sent("a.txt", b"a" * 50, b"b" * 40), bucket=str(number)) for number in range(20))
    done = await asyncio.gather(*uploads, return_exceptions=True)
    assert {type(one) for one in done} == {list, TooLarge}
    kept = sum(isinstance(one, list) for one in done)
    assert desk.filing.space.used("ann") == 90 * kept <= 300
    assert await desk.filing.buckets.used() == {"ann": 90 * kept}


async def test_what_is_used_is_counted_anew_at_the_start(
    database: Database, tmp_path: Path, reader: Scripted
) -> None:
    async with running(database, tmp_path / "files", reader) as desk:
        await desk.upload(Sent("a.txt", b"abc"))
    async with running(database, tmp_path / "files", reader) as desk:
        assert desk.filing.space.used("ann") == 3


def test_room_is_taken_and_given_back() -> None:
    space = Space(0, 0)
    space.take("ann", 2**60)
    space.give_back("ann", 2**60)
    assert space.used("ann") == 0


# Removal leaves nothing


async def test_a_bucket_goes_with_everything(desk: Desk) -> None:
    gone: list[str] = []

    async def forget(files: object) -> None:
        gone.extend(file.name for file in files)  # type: ignore[attr-defined]

    desk.filing.deleted.append(forget)
    await desk.upload(Sent("a.txt", b"x"), Sent("b.png", PNG))
    await desk.settled()
    assert len(desk.blobs()) == 4
    assert len(await desk.filing.remove("ann", "b")) == 2
    assert desk.blobs() == []
    assert sorted(gone) == ["a.txt", "b.png"]
    with pytest.raises(NotFound):
        await desk.filing.remove("ann", "b")


async def test_what_else_goes_by_the_id_goes_too(desk: Desk) -> None:
    shared = {("ann", "b"), ("ann", "chat")}

    async def unshare(user: str, id: str) -> bool:
        there = (user, id) in shared
        shared.discard((user, id))
        return there

    desk.filing.released.append(unshare)
    await desk.upload(Sent("a.txt", b"x"))
    await desk.upload(Sent("a.txt", b"x"), bucket="c")
    for id in ("b", "c", "chat"):
        await desk.filing.release("ann", id)
    assert (shared, desk.blobs()) == (set(), [])
    for id in ("b", "c", "chat"):
        with pytest.raises(NotFound):
            await desk.filing.release("ann", id)


async def test_one_file_goes_and_the_others_stay(desk: Desk) -> None:
    first, second = await desk.upload(Sent("a.txt", b"x"), Sent("b.txt", b"y"))
    await desk.settled()
    await desk.filing.remove_file("ann", first.id)
    assert desk.blobs() == [second.blob, second.text_blob]


async def test_what_is_removed_while_it_is_read_leaves_nothing(desk: Desk, reader: Scripted) -> None:
    reader.may.clear()
    await desk.upload(Sent("a.txt", b"x"))
    await desk.upload(Sent("b.txt", b"y"), bucket="c")
    await until(lambda: bool(reader.read))
    await desk.filing.remove("ann", "b")
    reader.may.set()
    await desk.settled(bucket="c")
    await until(lambda: len(desk.blobs()) == 2)


async def test_two_who_remove_the_same_are_both_done(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await desk.upload(Sent("a.txt", b"x"))
    await asyncio.gather(*(desk.filing.remove("ann", "b") for _ in range(5)), return_exceptions=True)
    await until(lambda: desk.filing.space.used("ann") == 0)
    assert desk.blobs() == []
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_user_is_forgotten(desk: Desk) -> None:
    for bucket in ("1", "2"):
        await desk.upload(Sent("a.txt", b"x"), Sent("b.txt", b"y"), bucket=bucket)
        await desk.settled(bucket=bucket)
    (his,) = await desk.upload(Sent("a.txt", b"x"), user="bob")
    await desk.settled("bob")
    assert await desk.filing.forget("ann") == 4
    assert desk.blobs() == [his.blob, his.text_blob]


async def test_what_is_old_expires(desk: Desk) -> None:
    await desk.upload(Sent("a.txt", b"x"), bucket="old")
    between = time.time()
    await desk.upload(Sent("a.txt", b"x"), bucket="new")
    await desk.filing.expire(between)
    assert [bucket.id for bucket in await desk.filing.buckets.of("ann")] == ["new"]


@pytest.mark.parametrize(("keep", "left"), [(0, 2), (1, 1)])
async def test_it_expires_by_itself_unless_it_is_used(
    database: Database,
    tmp_path: Path,
    reader: Scripted,
    keep: int,
    left: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(database, tmp_path / "files", reader) as desk:
        for bucket in ("used", "unused"):
            await desk.upload(Sent("a.txt", b"x"), bucket=bucket)
            await desk.settled(bucket=bucket)
    async with running(database, tmp_path / "files", reader, keep=keep) as desk:
        monkeypatch.setattr("service.turns.filing.time.time", lambda: time.monotonic() + 2**33)
        desk.filing.use("ann", "used")
    async with running(database, tmp_path / "files", reader, keep=keep) as desk:
        await until(lambda: len(desk.blobs()) == 2 * left)
        assert len(await desk.filing.buckets.of("ann")) == left


async def test_blobs_of_nobody_are_swept_and_no_others(desk: Desk, reader: Scripted) -> None:
    orphan = "0" * 32
    reader.may.clear()
    (kept,) = await desk.upload(Sent("a.txt", b"x"))
    for name in (orphan, f"{orphan}.text", f"{orphan}.thumbnail"):
        (desk.folder / "00" / name).write_bytes(b"left by a crash")
    async with desk.filing.upload("ann", "c") as upload:
        arriving = await upload.add(Sent("b.txt", b"y"))
        assert arriving
        await desk.filing.sweep()
        assert desk.blobs() == sorted([kept.blob, arriving.blob])
        await desk.filing.keep(upload)
    await desk.filing.sweep()
    assert desk.blobs() == sorted([kept.blob, arriving.blob])


async def test_where_no_file_is_known_at_all_nothing_is_swept(desk: Desk) -> None:
    (desk.folder / "00" / ("0" * 32)).write_bytes(b"of a database that was lost")
    await desk.filing.sweep()
    assert desk.blobs() == ["0" * 32]


async def test_a_store_that_cannot_be_written_keeps_nothing(desk: Desk) -> None:
    (desk.folder / "arriving").rmdir()
    with pytest.raises(StorageFull):
        await desk.upload(Sent("a.txt", b"x"))
    assert await desk.filing.buckets.of("ann") == []
    assert desk.filing.space.used("ann") == 0
