"""What documents say to a question: all of it where there is room, else the passages that fit it best."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import zip_longest

from msgspec import Struct

from service.documents.extraction import Document
from service.events import Source
from service.stores.buckets import File
from service.stores.ledger import Record
from service.stores.passages import Passage, Passages
from service.stores.words import ranked, terms
from service.turns.indexing import placed
from service.turns.texts import CLOSING, Texts, opening

BYTES_PER_TOKEN = 4
"""As service.messages estimates them."""
MOST = 64
"""Passages that are handed to a model: more would cost much, and help little."""
CANDIDATES = 4 * MOST
FEW_TERMS = 4
"""A question of fewer is a part of the one before."""
SNIPPET = 300
RANK = 60
"""Added to a rank: what is first in one ranking does not outweigh what is good in both."""
NOTE = (
    "The documents are too long to be read at once. These passages of them fit the question best; they are in"
    " the order of the documents, and what is between them is left out.\n\n"
)


Near = Callable[[Sequence[str], str, Record], Awaitable[list[Passage]]]
"""Finds in some files what means the same as a question, whose turn has this record."""


class Paper(Struct, frozen=True):
    """A file, and what it says where that is not kept with it; `untold` goes to the model as it is."""

    file: File
    document: Document | None = None
    untold: bool = False

    @property
    def is_told(self) -> bool:
        """Whether its text is what the model gets."""
        return self.file.is_document and not self.untold


class Excerpt(Struct, frozen=True):
    """What documents say, by the ids of their files; `sources` are the passages where that is not all."""

    texts: Mapping[str, str]
    sources: Sequence[Source] = ()


class Excerpts:
    """Reads documents for a question; `near` is who ranks passages a second time, if anybody.

    All raise `Unavailable`.
    """

    def __init__(self, texts: Texts, passages: Passages) -> None:
        self.near: Near | None = None
        self._texts, self._passages = texts, passages

    async def made(
        self, papers: Sequence[Paper], asked: Sequence[str], tokens: int, record: Record
    ) -> Excerpt:
        """What papers say within so many tokens; `asked` is what the user said, the last words first."""
        room = tokens * BYTES_PER_TOKEN
        return await self._whole(papers, room) or await self._searched(papers, asked, room, record)

    async def _whole(self, papers: Sequence[Paper], room: int) -> Excerpt | None:
        """None where there is no room for all of it."""
        if sum(paper.file.characters or 0 for paper in papers) > room:
            return None
        texts: dict[str, str] = {}
        for paper in papers:
            pieces: list[str] = []
            async with aclosing(self._texts.told(paper.file, paper.document)) as told:
                async for piece in told:
                    pieces.append(piece)
                    room -= len(piece.encode(errors="replace"))
                    if room < 0:
                        return None
            texts[paper.file.id] = "".join(pieces)
        return Excerpt(texts)

    async def _searched(
        self, papers: Sequence[Paper], asked: Sequence[str], room: int, record: Record
    ) -> Excerpt:
        files = {paper.file.id: paper.file for paper in papers}
        order = {id: place for place, id in enumerate(files)}
        candidates = await self._candidates(papers, _query(asked), record)
        chosen = _within(candidates, files, room - len(NOTE))
        chosen.sort(key=lambda passage: (order[passage.file], passage.position))
        texts: dict[str, str] = {}
        for passage, text in _joined(chosen, files):
            texts[passage.file] = texts.get(passage.file, "" if texts else NOTE) + text
        return Excerpt(texts, [_source([passage], files[passage.file]) for passage in chosen])

    async def _candidates(self, papers: Sequence[Paper], query: str, record: Record) -> list[Passage]:
        """The best first; where nothing has a word of the question, what the documents begin with."""
        kept = [paper.file.id for paper in papers if paper.document is None]
        loose, best = await asyncio.to_thread(_of_unkept, papers, query)
        found = _alternately(await self._found(kept, query, record), best)
        return found or _alternately(await self._passages.first(kept, MOST), loose)[:MOST]

    async def _found(self, kept: Sequence[str], query: str, record: Record) -> list[Passage]:
        """By words, and by meaning where that can be told, at the same time."""
        by_words = self._passages.found(kept, query, CANDIDATES)
        if self.near is None:
            return await by_words
        return fused(*await asyncio.gather(by_words, self.near(kept, query, record)))


def fused(*rankings: Sequence[Passage]) -> list[Passage]:
    """One ranking of several, in which a passage counts the more the higher it stands in each.

    Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet …" (SIGIR 2009).
    """
    scores: defaultdict[Passage, float] = defaultdict(float)
    for ranking in rankings:
        for rank, passage in enumerate(ranking, 1):
            scores[passage] += 1 / (RANK + rank)
    return sorted(scores, key=lambda passage: -scores[passage])


def _of_unkept(papers: Sequence[Paper], query: str) -> tuple[list[Passage], list[Passage]]:
    """The passages of documents that no index has, in their order, and the best of them."""
    every = [passage for paper in papers if paper.document for passage in placed(paper.file, paper.document)]
    places = ranked([passage.text for passage in every], terms(query))
    return every[:MOST], [every[place] for place in places[:CANDIDATES]]


def _query(asked: Sequence[str]) -> str:
    """The last words, and where they are few, such as "and why?", those before."""
    if len(asked) > 1 and len(terms(asked[0])) < FEW_TERMS:
        return f"{asked[0]}\n{asked[1]}"
    return asked[0] if asked else ""


def _alternately(first: Sequence[Passage], second: Sequence[Passage]) -> list[Passage]:
    return [passage for both in zip_longest(first, second) for passage in both if passage]


def _within(candidates: Iterable[Passage], files: Mapping[str, File], room: int) -> list[Passage]:
    """As many as there is room for, one at least."""
    chosen: list[Passage] = []
    for passage in candidates:
        heading = opening(_source([passage], files[passage.file]).place)
        room -= len((heading + passage.text + CLOSING).encode(errors="replace"))
        if chosen and (room < 0 or len(chosen) == MOST):
            break
        chosen.append(passage)
    return chosen


def _joined(chosen: Sequence[Passage], files: Mapping[str, File]) -> list[tuple[Passage, str]]:
    """The passages in their frames; those that follow each other on a page are one of them."""
    runs: list[list[Passage]] = []
    for passage in chosen:
        if runs and _follows(passage, runs[-1][-1]):
            runs[-1].append(passage)
        else:
            runs.append([passage])
    return [
        (run[0], f"{opening(_source(run, files[run[0].file]).place)}{_text(run)}\n{CLOSING}") for run in runs
    ]


def _follows(passage: Passage, before: Passage) -> bool:
    same = (passage.file, passage.page, passage.title) == (before.file, before.page, before.title)
    return same and passage.position == before.position + 1


def _text(run: Sequence[Passage]) -> str:
    text, end = "", run[0].start
    for passage in run:
        shared = end - passage.start
        text += passage.text[shared:] if shared > 0 else ("\n" if text else "") + passage.text
        end = passage.start + len(passage.text)
    return text


def _source(run: Sequence[Passage], file: File) -> Source:
    """Of passages that follow each other on a page; only the last one may end on another."""
    first = run[0]
    snippet = " ".join(first.text.split())[:SNIPPET]
    return Source(file.name, file.bucket, file.id, snippet, first.page, first.title, run[-1].last_page)
