"""What a question names is looked up, waited for, and put into it, before somebody is asked."""

import asyncio
import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from msgspec.structs import replace

from service.errors import BadRequest, NotFound, TooLarge
from service.events import Batch, Noted, Source, Sources, begins
from service.messages import Ask, Message, Part, estimated_tokens
from service.providers.provider import Append, Provider
from service.providers.registry import Registry
from service.settings import Files
from service.stores.blobs import whole
from service.stores.buckets import File
from service.stores.ledger import Record
from service.stores.names import file_name, plain
from service.turns.excerpts import Excerpt, Excerpts, Paper
from service.turns.filing import Filing
from service.turns.inline import bare, medium, read
from service.turns.limits import ANSWER_TOKENS
from service.turns.references import Reference, question, references, resolved
from service.turns.uploads import Reader

TOO_LONG = "context_length_exceeded"
ATTEMPTS = 3
"""A model that counts more tokens than were estimated is asked again with half as much of the documents."""
SHARE = 0.8
"""Of what a model reads at once: tokens are estimated, and those of some texts are more."""
FEWEST = 500
"""Tokens for documents, however long the rest of the question is."""
THUMBNAIL = "image/jpeg"

Found = Mapping[Reference, Sequence[Paper]]


class Attachments:
    """Finds what questions name. Whose it is counts: another's is not there."""

    def __init__(
        self, filing: Filing, excerpts: Excerpts, reader: Reader, registry: Registry, limits: Files
    ) -> None:
        self.filing, self.excerpts, self.limits = filing, excerpts, limits
        self.common: Callable[[], str | None] = lambda: None
        """Whose buckets anybody may name, if somebody's."""
        self._reader, self._registry = reader, registry

    async def of(self, ask: Ask, user: str | None) -> "Attached | None":
        """What a question names; None where that is nothing.

        A bucket that is not there says nothing, as web clients expect. Raises `NotFound` for a file's id, and
        `BadRequest` where nothing is left of the question.
        """
        named = references(ask.messages)
        if not named:
            return None
        attached = Attached(self, ask, {each: await self._found(each, user or "") for each in named})
        attached.check()
        return attached

    async def read(self, data: str, name: str | None, provider: Provider) -> Paper:
        """A file that is in the question, as base64."""
        return await read(data, name, provider, self._reader, self.limits.inline_text)

    async def again(self, file: File) -> File | None:
        """A file as it is now; None if it is gone."""
        with suppress(NotFound):
            return await self.filing.buckets.find(file.user, file.id)
        return None

    def context_length(self, provider: str, model: str | None) -> int:
        """How much a model reads at once, in tokens, as far as that is known."""
        if provider not in self._registry:
            return self.limits.context_tokens
        wanted = model or self._registry[provider].default_model
        listed = self._registry.listing(provider).models or ()
        known = next((each for each in listed if wanted in {None, each.id}), None)
        return (known and known.context_length) or self.limits.context_tokens

    async def _found(self, named: Reference, user: str) -> list[Paper]:
        if named.id is not None:
            files = [await self.filing.buckets.find(user, named.id)]
        elif named.bucket is not None and (bucket := plain(named.bucket)):
            files = await self._in_bucket(user, bucket, named.name)
        else:
            files = []
        for file in files:
            self.filing.use(file.user, file.bucket)
        return [Paper(file) for file in files]

    async def _in_bucket(self, user: str, bucket: str, name: str | None) -> list[File]:
        """A whole bucket is its documents: the pictures in it have parts of their own."""
        for owner in filter(None, (user, self.common())):
            with suppress(NotFound):
                if name is not None:
                    return [await self.filing.buckets.named(owner, bucket, file_name(name, ""))]
                return [file for file in await self.filing.buckets.bucket(owner, bucket) if file.is_document]
        return []


class Attached:
    """What one question names."""

    def __init__(self, attachments: Attachments, ask: Ask, found: Found) -> None:
        self._attachments, self._ask, self._found = attachments, ask, found

    def check(self) -> None:
        """Raises `BadRequest` where nothing that is named is there, and nothing else is said."""
        if not any(papers or named.data or named.url for named, papers in self._found.items()):
            _check(self.rest.messages)

    @property
    def rest(self) -> Ask:
        """The question without what it names."""
        return replace(self._ask, messages=resolved(self._ask.messages, {}))

    def tokens(self, target: tuple[str, str | None]) -> int:
        """How many what is named may come to for whom is asked first; nobody knows before it is read."""
        characters = sum(paper.file.characters or 0 for papers in self._found.values() for paper in papers)
        sent = sum(len(named.data or "") for named in self._found)
        return min((characters + sent) // 2, self.room(target))

    def room(self, target: tuple[str, str | None]) -> int:
        """The tokens that documents may have, beside the rest of the question and the answer."""
        asked = self._ask.generation
        answer = asked.max_completion_tokens or asked.max_tokens or ANSWER_TOKENS
        length = self._attachments.context_length(*target)
        left = length - min(answer, length // 2) - estimated_tokens(self.rest.messages)
        return max(int(left * SHARE), FEWEST)

    def answered_by(self, provider: Provider, target: tuple[str, str | None], record: Record) -> Provider:
        """The provider, as it is to answer; `target` is who it asks first, by name, and with which model."""
        return Informed(provider, self, self.room(target), record)

    async def papers(self, provider: Provider, append: Append) -> Found:
        """What is named as far as it has been read; says what has not been in time."""
        deadline = asyncio.get_running_loop().time() + self._attachments.limits.reading_timeout
        ready: dict[Reference, Sequence[Paper]] = {}
        for named, papers in self._found.items():
            if named.data is not None:
                ready[named] = [await self._attachments.read(named.data, named.name, provider)]
            else:
                files = [await self._awaited(paper.file, deadline) for paper in papers]
                ready[named] = [Paper(file) for file in files if file]
        for papers in ready.values():
            for paper in papers:
                if paper.file.state == "waiting":
                    append([_late(paper.file)])
        return ready

    async def asked(self, found: Found, tokens: int, record: Record) -> tuple[Ask, Excerpt]:
        """The question with what it names in so many tokens; raises `BadRequest` where nothing is left."""
        papers = {paper.file.id: paper for papers in found.values() for paper in papers if paper.is_told}
        said = list(islice(question(self._ask.messages), 2))
        excerpt = await self._attachments.excerpts.made(list(papers.values()), said, tokens, record)
        texts = dict(excerpt.texts)
        parts = {named: await self._parts(named, each, texts) for named, each in found.items()}
        messages = resolved(self._ask.messages, parts)
        _check(messages)
        return replace(self._ask, messages=messages), excerpt

    async def _awaited(self, file: File, deadline: float) -> File | None:
        """A file when it has been read, or at the deadline; None where it is gone."""
        reading = self._attachments.filing.reading
        now: File | None = file
        while now and now.state == "waiting":
            news = reading.news(file.user, file.bucket)
            now = await self._attachments.again(file)
            left = deadline - asyncio.get_running_loop().time()
            if now is None or now.state != "waiting" or left <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)
        return now

    async def _parts(self, named: Reference, papers: Iterable[Paper], texts: dict[str, str]) -> list[Part]:
        """What stands in the place of a reference; a document's text only once, however often it is named."""
        if named.url and not _is_ours(named):
            return [{"type": "image_url", "image_url": {"url": named.url}}]
        text = "".join(texts.pop(paper.file.id, "") for paper in papers if paper.is_told)
        parts: list[Part] = [{"type": "text", "text": text}] if text else []
        for paper in papers:
            if not paper.is_told:
                parts.append(await self._medium(named, paper.file))
        return parts

    async def _medium(self, named: Reference, file: File) -> Part:
        """A picture or a sound, in the message itself."""
        if named.data is not None:
            return medium(file.media_type, bare(named.data), named.name)
        key, media_type, size = file.blob, file.media_type, file.bytes
        if file.kind == "image" and named.bucket is not None:
            key, media_type, size = file.thumbnail_blob, THUMBNAIL, 0
        limit = self._attachments.limits.question_limit
        if size > limit:
            raise TooLarge(
                f"{file.name} is larger than the {limit} bytes that can be sent with a question"
                " (files.question_limit). Send a smaller one.",
                "messages",
            )
        content = await whole(self._attachments.filing.blobs, key)
        return medium(media_type, base64.b64encode(content).decode(), file.name)


class Informed(Provider):
    """The provider, asked when what the question names has been put into it."""

    def __init__(self, provider: Provider, attached: Attached, tokens: int, record: Record) -> None:
        self.name, self.label = provider.name, provider.label
        self._provider, self._attached, self._tokens, self._record = provider, attached, tokens, record

    async def pump(self, ask: Ask, append: Append) -> None:
        """Raises what the provider does, `BadRequest` and `DocumentRefused`."""
        found = await self._attached.papers(self._provider, append)
        begun, sources = False, list[Source]()

        def heard(batch: Batch) -> None:
            nonlocal begun
            if not begun and begins(batch):
                begun = True
                if sources:
                    append([Sources(sources)])
            append(batch)

        for attempt in range(1, ATTEMPTS + 1):
            whole, excerpt = await self._attached.asked(found, self._tokens, self._record)
            told = replace(ask, messages=whole.messages)
            try:
                await self._provider.check(told)
                self._record.prompt_tokens = estimated_tokens(told.messages)
                sources = list(excerpt.sources)
                await self._provider.pump(told, heard)
            except BadRequest as error:
                if error.code != TOO_LONG or begun or attempt == ATTEMPTS or not excerpt.texts:
                    raise
                self._tokens //= 2
            else:
                return


def _is_ours(named: Reference) -> bool:
    """Whether an address is this file's at this service, whatever that is called from outside."""
    return (named.url or "").partition("?")[0].endswith(f"/files/{named.bucket}/media/{named.name}")


def _late(file: File) -> Noted:
    return Noted(
        f"{file.name} has not been read yet, and the answer knows nothing of it. Ask again in a moment.",
        "NotReadYet",
    )


def _check(messages: Sequence[Message]) -> None:
    if not any(message.content or message.tool_calls for message in messages if message.role != "system"):
        raise BadRequest('There is nothing to answer: send "messages" with some text in them.', "messages")
