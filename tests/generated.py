"""What a provider generates in tests: pictures, as a chat's upstream sends them."""

import base64
import io
from typing import Any

from PIL import Image

from tests.serving import Json, Service
from tests.upstream import Data, Done, Finish, Say, Step, Upstream, Usage


def painted(color: str = "red", kind: str = "PNG", size: tuple[int, int] = (800, 600)) -> bytes:
    """The bytes of a picture."""
    written = io.BytesIO()
    Image.new("RGB", size, color).save(written, kind)
    return written.getvalue()


def inline(data: bytes, media_type: str = "image/png") -> str:
    """As a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def Show(*sources: str) -> Step:
    """Pictures in the midst of a chat."""
    images = [{"type": "image_url", "image_url": {"url": source}} for source in sources]
    return Data({"choices": [{"index": 0, "delta": {"content": "", "images": images}}]})


def script(upstream: Upstream, *steps: Step) -> None:
    """What is said to every question, and a proper end."""
    upstream.script(*steps, Finish(), Usage(), Done())


async def shown(service: Service, prompt: str = "A red bus", **body: Any) -> list[Json]:
    """What is said, pictures among it, in its order."""
    return [event for event in await service.ask(prompt, **body) if event["type"] == "content"]


async def copied(service: Service, upstream: Upstream, *sources: str, **body: Any) -> list[str]:
    """The addresses of pictures in an answer."""
    script(upstream, Show(*sources), Say("That is it."))
    first, *_ = await shown(service, **body)
    urls: list[str] = first["urls"]
    return urls
