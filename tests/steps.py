"""What a script of the upstream is made of: `Say("Hel"), Gate(event), Say("lo"), Reset()`.

The steps that say something do so in the words of the path that was asked, see tests.dialects.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec

from tests.answering import Answer, Step
from tests.request import Json

P = ParamSpec("P")


def step(function: Callable[Concatenate[Answer, P], Awaitable[None]]) -> Callable[P, Step]:
    """Makes steps: calling the function by name keeps its arguments, and the answer comes later."""

    def made(*args: P.args, **kwargs: P.kwargs) -> Step:
        return lambda answer: function(answer, *args, **kwargs)

    return made


@step
async def Say(answer: Answer, text: str) -> None:
    await answer.token(answer.dialect.say(text))


@step
async def Reason(answer: Answer, text: str, field: str = "reasoning_content") -> None:
    """A piece of thought; `field` is its name where OpenAI's words have none."""
    await answer.token(answer.dialect.think(text, field))


@step
async def Seal(answer: Answer, signature: str) -> None:
    """Anthropic's signature of the thoughts so far; it costs nothing."""
    await answer.send(answer.dialect.seal(signature))


@step
async def Redact(answer: Answer, data: str) -> None:
    """A thought that Anthropic has encrypted."""
    await answer.token(answer.dialect.redact(data))


@step
async def ToolCall(
    answer: Answer, name: str | None = None, arguments: str = "", call_id: str | None = None, index: int = 0
) -> None:
    """A call or, without name and call_id, the next piece of its arguments (joined by clients only)."""
    await answer.token(answer.dialect.call(name, arguments, call_id, index))


@step
async def Finish(answer: Answer, reason: str = "stop") -> None:
    await answer.send(answer.dialect.finish(reason))


@step
async def Usage(
    answer: Answer, prompt_tokens: int | None = None, completion_tokens: int | None = None
) -> None:
    """The bill, where it is asked for; numbers of one's own are said in any case."""
    await answer.send(answer.dialect.count(prompt_tokens, completion_tokens))


@step
async def Done(answer: Answer) -> None:
    """[DONE], or its like; what comes after it may still be silence."""
    answer.complete = True
    await answer.send(answer.dialect.done())


@step
async def Data(answer: Answer, payload: object) -> None:
    """One event with this JSON in it."""
    await answer.send(answer.dialect.event(payload))


@step
async def ErrorChunk(answer: Answer, message: str = "The model stumbled.", code: str | None = None) -> None:
    """An error in a stream that began with 200."""
    await answer.send(answer.dialect.event(answer.dialect.failure(message, code)))


@step
async def Raw(answer: Answer, data: bytes) -> None:
    """Bytes of the body as they are; b"" sends the head alone."""
    await answer.write(data)


@step
async def HugeLine(answer: Answer, size: int) -> None:
    """A `data:` line of that many bytes, which does not end."""
    await answer.write(b"data: " + b"x" * size)


@step
async def Split(answer: Answer, size: int) -> None:
    """What follows goes out in pieces of that many bytes, each its own chunk and its own write."""
    answer.split = size


@step
async def Header(answer: Answer, name: str, value: str) -> None:
    assert not answer.started, "A Header comes before the step that sends the head."
    answer.headers[name] = value


@step
async def Status(
    answer: Answer, code: int, body: Json | bytes | None = None, headers: dict[str, str] | None = None
) -> None:
    """A whole answer, not streamed: JSON unless it is bytes, an error where nothing is given."""
    answer.headers |= headers or {}
    await answer.reply(code, answer.dialect.failure(f"Status {code}.") if body is None else body)


@step
async def Refusal(answer: Answer, code: int, message: str, kind: str) -> None:
    """An error in the words of the path."""
    await answer.reply(code, answer.dialect.failure(message, kind))


@step
async def Redirect(answer: Answer, location: str) -> None:
    """302: what was asked for lies elsewhere."""
    answer.headers["Location"] = location
    await answer.reply(302, b"")


@step
async def Html(answer: Answer) -> None:
    """What a captive portal answers: 200, and a page."""
    answer.headers["Content-Type"] = "text/html; charset=utf-8"
    await answer.reply(200, b"<!doctype html><title>Welcome</title>\n<p>data: sign in first</p>\n")


@step
async def Wait(_: Answer, seconds: float) -> None:
    await asyncio.sleep(seconds)


@step
async def Gate(_: Answer, event: asyncio.Event) -> None:
    """Goes on when the test sets the event."""
    await event.wait()


@step
async def Silent(_: Answer) -> None:
    """Nothing more until the client goes: as the first step, not even a status line."""
    await asyncio.Event().wait()


@step
async def Stall(answer: Answer) -> None:
    """The head, then nothing more until the client goes."""
    await answer.write(b"")
    await Silent()(answer)


@step
async def Close(answer: Answer) -> None:
    """A proper end of the answer without [DONE], then of the connection, whatever the head promised."""
    await answer.end()
    answer.keep = False


@step
async def Cut(answer: Answer) -> None:
    """FIN in the middle of the answer, or instead of one."""
    await answer.apart()
    answer.over, answer.keep = True, False


@step
async def Reset(answer: Answer) -> None:
    """RST in the middle of the answer, or instead of one."""
    connection: socket.socket = answer.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await Cut()(answer)


@step
async def BadChunk(answer: Answer) -> None:
    """A chunk whose size is no number, then FIN."""
    await answer.write(b"")
    await answer.apart()
    answer.writer.write(b"zz\r\n")
    await Cut()(answer)


def words(text: str) -> list[Step]:
    """A `Say` for each word, with the blank before it."""
    first, *others = text.split(" ")
    return [Say(first), *(Say(f" {word}") for word in others)]
