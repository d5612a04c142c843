"""OpenAI's Responses API on the wire: numbered server-sent events, and the response as one object.

Source: OpenAI's API reference, "Responses" and "Streaming events". Every byte follows from the log from its
first event on, however that was cut into batches. So a reader goes on by number: the log is encoded anew,
and the frames that he has are left out. Thoughts are told as `reasoning_text`: they are the model's own, and
no summary of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from service.events import (
    Batch,
    Begun,
    Chosen,
    Content,
    Event,
    Extra,
    Failed,
    Finished,
    Reasoning,
    Resumable,
    Sources,
    ToolCalls,
    Unauthorized,
    Used,
)
from service.wire.projection import raised, shown
from service.wire.response_object import (
    Asked,
    IncompleteDetails,
    Json,
    OutputReasoning,
    OutputText,
    Response,
    ResponseError,
    ResponseUsage,
    Status,
)
from service.wire.response_output import REFUSAL, TEXT, THOUGHT, Output

INTERRUPTED = "interrupted"

_encode = msgspec.json.Encoder().encode


class ResponseEvents:
    """One response; frames up to the number `starting_after` are not sent, for the reader has them.

    A reader who has more than there is gets the last frame, under the number after his: the log of a process
    that has died may be shorter than what was read of it.
    """

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = {}
    heartbeat = b": ping\n\n"

    def __init__(self, turn: str, created_at: float, asked: Asked, starting_after: float = -1) -> None:
        self._response = Response(
            id=f"resp_{turn}", created_at=int(created_at), status="in_progress", **asked.repeated()
        )
        self._output, self._starting_after = Output(turn, starting_after), starting_after
        self._logprobs: list[Json] = []
        """Of the next delta."""
        self._cited: list[Json] = []
        """Files that the next text may rest on."""
        self._outcome: tuple[Status, IncompleteDetails | None] | None = None
        """Known before the end: a response is in progress until its usage is there."""
        self._over = self._sent_away = False

    @property
    def response(self) -> Response:
        """The response as far as it has been told."""
        return replace(self._response, output=self._output.gathered())

    def encode(self, events: Batch, first: int) -> bytes:
        for event in events:
            if take := self._TAKES.get(type(event)):
                take(self, event)
        return self._output.taken()

    def aside(self, event: Event) -> bytes:
        """Where to read on; its number is that of the last frame, after which there will be more."""
        if not isinstance(event, Resumable):
            return b""
        self._sent_away, last = True, self._output.number - 1
        told = {
            "type": "error",
            "code": "service_restarting",
            "message": "The service is being restarted; the answer goes on. Read on in a moment at"
            f" GET /v1/responses/{self._response.id}?stream=true&starting_after={last}.",
            "param": None,
            "sequence_number": last,
        }
        return b"event: error\ndata: %b\n\n" % _encode(told)

    def end(self) -> bytes:
        if self._outcome and not self._sent_away:
            self._close(*self._outcome)
        return self._output.taken()

    def _begin(self, event: Begun) -> None:
        for step in ("created", "in_progress"):
            self._output.tell(f"response.{step}", response=self._response)

    def _choose(self, event: Chosen) -> None:
        self._response = replace(self._response, model=event.provider.model or self._response.model)

    def _write(self, event: Content) -> None:
        if event.choice == 0 and (text := event.content or shown(event)):
            run = self._output.part(TEXT)
            self._output.say(run, text, self._measures(run.holder) if self._logprobs else None)
            while self._cited:
                self._annotate(self._cited.pop(0))

    def _measures(self, part: Any) -> bytes:
        """The end of a delta with its log probabilities."""
        part.logprobs += self._logprobs
        tail = b',"logprobs":%b}\n\n' % _encode(self._logprobs)
        self._logprobs = []
        return tail

    def _think(self, event: Reasoning) -> None:
        if event.choice:
            return
        if event.token:
            self._output.say(self._output.part(THOUGHT), event.token)
        elif event.signature:
            self._output.item(OutputReasoning).signature = event.signature
            self._output.close_item()
        elif event.redacted:
            self._output.close_item()
            self._output.item(OutputReasoning).encrypted_content = event.redacted
            self._output.close_item()
        elif event.token is None and self._output.thinks():
            self._output.close_item()

    def _call(self, event: ToolCalls) -> None:
        for piece in () if event.choice else event.tool_calls:
            run = self._output.call(piece)
            if piece.function and piece.function.arguments:
                self._output.say(run, piece.function.arguments)

    def _add(self, event: Extra) -> None:
        if event.choice:
            return
        if isinstance(tier := event.of_chunk.get("service_tier"), str):
            self._response = replace(self._response, service_tier=tier)
        if isinstance(logprobs := event.of_choice.get("logprobs"), dict):
            self._logprobs += _objects(logprobs.get("content"))
        if isinstance(refusal := event.extra.get("refusal"), str) and refusal:
            self._output.say(self._output.part(REFUSAL), refusal)
        for annotation in _objects(event.extra.get("annotations")):
            self._annotate(annotation)

    def _cite(self, event: Sources) -> None:
        """Source: OpenAI's API reference, "The response object", `file_citation`; `place` is an addition."""
        self._cited = [
            {
                "type": "file_citation",
                "file_id": source.id,
                "filename": source.file,
                "index": 0,
                "place": source.place,
            }
            for source in event.sources
        ]

    def _annotate(self, annotation: Json) -> None:
        """Chat has what an annotation says below its type, responses have it beside."""
        run = self._output.part(TEXT)
        assert isinstance(run.holder, OutputText)
        kind = str(annotation.get("type"))
        if isinstance(below := annotation.get(kind), dict):
            annotation = {"type": kind, **below}
        run.holder.annotations.append(annotation)
        index = len(run.holder.annotations) - 1
        name = "response.output_text.annotation.added"
        self._output.tell(name, **run.at, annotation_index=index, annotation=annotation)

    def _finish(self, event: Finished) -> None:
        if event.choice == 0:
            self._outcome = status, _ = _outcome(event.finish.reason)
            self._output.close("completed" if status == "completed" else "incomplete")

    def _count(self, event: Used) -> None:
        self._response = replace(self._response, usage=ResponseUsage.of(event))
        self._close(*self._outcome or _outcome("stop"))

    def _fail(self, event: Failed | Unauthorized) -> None:
        error = ResponseError(raised(event).code, event.message)
        self._output.close("incomplete")
        self._response = replace(self._response, error=error)
        self._close("failed", None)

    def _close(self, status: Status, details: IncompleteDetails | None) -> None:
        """Tells the last frame, once."""
        if self._over:
            return
        self._over = True
        self._response = replace(self._response, status=status, incomplete_details=details)
        number, read = self._output.number, self._starting_after
        shortened = details is not None and details.reason == INTERRUPTED
        if number < read < math.inf or (shortened and number == read):
            self._output.number = int(read) + 1
        name = status if status in {"completed", "failed"} else "incomplete"
        self._output.tell(f"response.{name}", response=self.response)

    _TAKES: ClassVar[dict[type[Event], Callable[["ResponseEvents", Any], None]]] = {
        Begun: _begin,
        Chosen: _choose,
        Content: _write,
        Reasoning: _think,
        ToolCalls: _call,
        Extra: _add,
        Sources: _cite,
        Finished: _finish,
        Used: _count,
        Failed: _fail,
        Unauthorized: _fail,
    }


def response(
    events: Sequence[Event], turn: str, created_at: float, asked: Asked, ended: bool = True
) -> Response:
    """The whole response; where its log has not ended, as much of it as was told."""
    wire = ResponseEvents(turn, created_at, asked, starting_after=math.inf)
    wire.encode(events, 0)
    if ended:
        wire.end()
    return wire.response


def _outcome(reason: str) -> tuple[Status, IncompleteDetails | None]:
    """How a finish is told. Whoever leaves a response cancels it, as with OpenAI."""
    match reason:
        case "length":
            return "incomplete", IncompleteDetails("max_output_tokens")
        case "content_filter" | "interrupted" | "timeout":
            return "incomplete", IncompleteDetails(reason)
        case "stopped" | "abandoned":
            return "cancelled", None
        case _:
            return "completed", None


def _objects(value: object) -> list[Json]:
    """What is an object in what an upstream calls a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
