"""What passages mean, as a model for embeddings tells it: kept small, and compared in two steps.

A vector is kept twice: the signs of its numbers, a bit each, and the numbers themselves in eight bits. The
bits that differ are counted for every passage, some millions in a second; the few that differ least are then
compared by their numbers. All of it is done a millisecond at a time, so that nobody's stream waits for it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from heapq import nlargest, nsmallest
from math import isfinite, sqrt
from operator import itemgetter, mul
from typing import Any

from msgspec import Struct
from sqlalchemy import BindParameter, Integer, LargeBinary, RowMapping, Select, Text, bindparam, select

from service.stores.database import PAGE, Database
from service.stores.passages import COLUMNS, Passage
from service.stores.schema_files import files
from service.stores.schema_passages import passage_vectors, passages

COMPARED = 20_000
"""Passages that a question is compared with, the first ones of each of its documents."""
CLOSE = 4
"""So many times what is asked for is compared by numbers,"""
SLICE = 8
"""and so many of them before others have their turn."""
LONGEST = 16_384
"""Numbers of a vector."""


class Packed(Struct, frozen=True):
    """A vector as it is kept; one of nothing is near to nothing."""

    signs: bytes
    vector: bytes


NOTHING = Packed(b"", b"")
"""Of a passage that the model refuses."""


class Vectors:
    """Those of one model, whose name is kept beside them: with another one all are made anew.

    Nothing is found but in the files that are named, whose owner asks. All raise `Unavailable`.
    """

    def __init__(self, database: Database, model: str) -> None:
        self._database, self._model = database, model
        this = (passages.c.file == _text("of"), passages.c.position == bindparam("at", type_=Integer()))
        made = (_text("by"), _bytes("bits"), _bytes("numbers"))
        insert = database.insert(passage_vectors).from_select(
            ["passage", "model", "signs", "vector"], select(passages.c.id, *made).where(*this)
        )
        learnt = {name: insert.excluded[name] for name in ("model", "signs", "vector")}
        self._add = insert.on_conflict_do_update(index_elements=["passage"], set_=learnt)

    async def add(self, vectors: Iterable[tuple[Passage, Packed]]) -> None:
        """Returns when they are durable; those of passages that are gone are not kept."""
        writes = [
            self._database.write(
                self._add,
                {
                    "by": self._model,
                    "bits": packed.signs,
                    "numbers": packed.vector,
                    "of": passage.file,
                    "at": passage.position,
                },
            )
            for passage, packed in vectors
        ]
        await asyncio.gather(*writes)

    async def lacking(self, most: int) -> list[tuple[str, str]]:
        """Users and files, a thousand at most, of whose first `most` passages some have no vector."""
        theirs = _without(self._model, most).join(files, files.c.id == passages.c.file)
        found = theirs.with_only_columns(files.c.user, files.c.id).distinct().limit(PAGE)
        return [(row["user"], row["id"]) for row in await self._database.read(found)]

    async def missing(self, file: str, most: int, count: int) -> list[Passage]:
        """The next ones of a file's first `most` passages that have no vector, so many at once."""
        found = _without(self._model, most).where(passages.c.file == file)
        rows = await self._database.read(found.order_by(passages.c.position).limit(count))
        return [_passage(row) for row in rows]

    async def any(self, within: Sequence[str]) -> bool:
        """Whether something is known of what some files say."""
        known = _known(self._model, within).limit(1)
        return bool(await self._database.read(known))

    async def nearest(self, within: Sequence[str], wanted: Packed, most: int) -> list[Passage]:
        """Those passages of some files that mean what is wanted, the best first."""
        if wanted == NOTHING:
            return []
        both = passages.join(passage_vectors, passages.c.id == passage_vectors.c.passage)
        close = select(passages, passage_vectors.c.vector).select_from(both)
        ids = await self._alike(within, wanted, CLOSE * most)
        rows = await self._database.read(close.where(passages.c.id.in_(ids)))
        compared = []
        for number, row in enumerate(rows, 1):
            compared.append((likeness(row["vector"], wanted.vector), row))
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return [_passage(row) for _, row in nlargest(most, compared, key=itemgetter(0))]

    async def _alike(self, within: Sequence[str], wanted: Packed, most: int) -> list[int]:
        """The ids of those that differ in the fewest bits."""
        known = _known(self._model, within).where(passages.c.position < COMPARED // len(within))
        found: list[tuple[int, int]] = []
        pages = self._database.pages(known, passages.c.file, passages.c.position)
        async with aclosing(pages):
            async for page in pages:
                found = nsmallest(most, [*found, *_differing(page, wanted)])
        return [passage for _, passage in found]


def packed(vector: Sequence[float]) -> Packed:
    """Of any length that a model gives its vectors: only their direction counts. Raises `ValueError`."""
    largest = max(map(abs, vector), default=0.0)
    if not 0 < len(vector) <= LONGEST or not all(map(isfinite, vector)) or not largest:
        raise ValueError(f"no direction in {len(vector)} numbers")
    bits = int("".join("1" if number > 0 else "0" for number in vector), 2)
    numbers = bytes(round(number / largest * 127) & 0xFF for number in vector)
    return Packed(bits.to_bytes(-(-len(vector) // 8)), numbers)


def likeness(vector: bytes, wanted: bytes) -> float:
    """The cosine of two vectors of the same length, times the length of what is wanted."""
    numbers = memoryview(vector).cast("b")
    product: int = sum(map(mul, numbers, memoryview(wanted).cast("b")))
    return product / sqrt(sum(map(mul, numbers, numbers)))


def _differing(rows: Iterable[RowMapping], wanted: Packed) -> Iterator[tuple[int, int]]:
    """In how many bits each passage differs; with vectors of another length none can be compared."""
    own, size = int.from_bytes(wanted.signs), len(wanted.signs)
    for row in rows:
        if len(signs := row["signs"]) == size:
            yield (own ^ int.from_bytes(signs)).bit_count(), row["passage"]


def _known(model: str, within: Sequence[str]) -> Select[Any]:
    """The signs of what some files say."""
    columns = (passage_vectors.c.passage, passage_vectors.c.signs, passages.c.file, passages.c.position)
    known = select(*columns).join(passages, passages.c.id == passage_vectors.c.passage)
    return known.where(passages.c.file.in_(within), passage_vectors.c.model == model)


def _without(model: str, most: int) -> Select[tuple[object, ...]]:
    """The first passages of files that have no vector of this model."""
    has = select(passage_vectors.c.passage).where(
        passage_vectors.c.passage == passages.c.id, passage_vectors.c.model == model
    )
    return select(passages).where(passages.c.position < most, ~has.exists())


def _passage(row: RowMapping) -> Passage:
    return Passage(**{name: row[name] for name in COLUMNS})


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


def _bytes(name: str) -> BindParameter[bytes]:
    return bindparam(name, type_=LargeBinary())
