"""A provider that does what the question says: for tests and demonstrations, off by default.

Each line of the last message is a step: `say <text>`, `think <text>`, `wait <seconds>` or `fail <text>`.
A message whose first line is no step is repeated, a word at a time.
"""

import asyncio
from collections.abc import AsyncGenerator

from service.errors import ProviderError
from service.events import Batch, Content, Finish, Finished, Reasoning
from service.messages import Ask, texts
from service.providers.provider import Model, Provider

LONGEST_WAIT = 3600.0
STEPS = frozenset({"say", "think", "wait", "fail"})


class Scripted(Provider):
    name, label, default_model, local = "Scripted", "Scripted", "script", True

    async def models(self) -> list[Model]:
        return [Model("script")]

    async def chat(self, ask: Ask) -> AsyncGenerator[Batch, None]:
        text = "\n".join(texts(ask.messages[-1]))
        steps = [line.partition(" ") for line in text.splitlines()]
        if not steps or steps[0][0] not in STEPS:
            steps = [("say", " ", word + " ") for word in text.split()]
        thinking = False
        for step, _, rest in steps:
            match step:
                case "think":
                    thinking = True
                    yield [Reasoning(token=rest)]
                case "wait":
                    await asyncio.sleep(_seconds(rest))
                case "fail":
                    raise ProviderError(rest)
                case _:
                    yield [Reasoning(token=None, status=""), Content(rest)] if thinking else [Content(rest)]
                    thinking = False
        yield [Finished(Finish("stop"))]


def _seconds(text: str) -> float:
    try:
        return min(float(text), LONGEST_WAIT)
    except ValueError:
        raise ProviderError(f"wait needs a number of seconds, not {text!r}.") from None
