"""Pictures as an answer: what is asked of a model that makes them, and what v2 clients are shown.

Source: OpenAI's API reference, "Create image"; OpenRouter's guide "Image generation" for pictures in a chat.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from service.errors import BadRequest, ProviderError
from service.events import Content, Event, Finish, Finished, Usage, Used
from service.messages import Ask, estimated_tokens, texts

SIZES = {
    "16:9": "1024x576",
    "9:16": "576x1024",
    "1:1": "1024x1024",
    "4:3": "1024x768",
    "3:4": "768x1024",
    "3:2": "1024x682",
    "2:3": "682x1024",
    "21:9": "1024x440",
    "9:21": "440x1024",
    "4:5": "832x1040",
    "5:4": "1040x832",
    "2:1": "1024x512",
    "1:2": "512x1024",
}
"""In pixels, by aspect ratio: those of gpt4free's backend-api v2."""

SIGNATURES = {b"\xff\xd8\xff": "jpeg", b"RIFF": "webp", b"GIF8": "gif", b"<svg": "svg+xml"}
"""How the files of each type begin; what begins otherwise is taken for PNG."""


def wish(ask: Ask, sizes: Sequence[str] = ()) -> dict[str, Any]:
    """The body that asks for pictures, in one of these sizes if there are any. Raises `BadRequest`."""
    prompt = _said(ask)
    if not prompt:
        raise BadRequest("There is nothing to draw: send a message that says what.", "messages")
    wanted = {"size": _size(ask.aspect_ratio, sizes), "n": ask.generation.n}
    return {"model": ask.model, "prompt": prompt, **{name: value for name, value in wanted.items() if value}}


def _said(ask: Ask) -> str:
    """What the user said last."""
    said = [text for message in ask.messages if message.role == "user" for text in texts(message) if text]
    return said[-1] if said else ""


def _size(ratio: str | None, sizes: Sequence[str]) -> str | None:
    """The size that a ratio comes to, else the nearest in shape of those that there are."""
    if ratio is None:
        return None
    if ratio not in SIZES:
        raise BadRequest(f"aspect_ratio must be one of {', '.join(SIZES)}.", "aspect_ratio")
    shape = _shape(SIZES[ratio])
    return min(sizes, key=lambda size: max(_shape(size) / shape, shape / _shape(size)), default=SIZES[ratio])


def _shape(size: str) -> float:
    width, height = size.split("x")
    return int(width) / int(height)


def painted(answer: Mapping[str, Any], ask: Ask, body: Mapping[str, Any]) -> list[Event]:
    """The events of an images answer; nobody counts what a picture comes to, so it counts as no token."""
    urls = [url for made in _dicts(answer.get("data")) if (url := _url(made))]
    if not urls:
        raise ProviderError("The provider sent no picture. Ask for it in other words.")
    pictures = [picture(url, body["prompt"], body.get("size")) for url in urls]
    return [*pictures, _used(answer.get("usage"), ask), Finished(Finish("stop"))]


def drawn(event: Event, ask: Ask) -> list[Event]:
    """An event of a chat; pictures without a word become those that clients show."""
    if isinstance(event, Content) and event.urls and not event.content:
        return [picture(url, _said(ask)) for url in event.urls]
    return [event]


def picture(url: str, alt: str, size: str | None = None) -> Content:
    """A picture as web clients show it: as HTML, and by its address."""
    width, height = size.split("x") if size else ("", "")
    shown = f'<img src="{escape(url)}" alt="{escape(alt)}" width="" height="">'
    link = f'<a href="{escape(url)}" data-width="{width}" data-height="{height}" data-source="">{shown}</a>'
    return Content(link, urls=[url], alt=alt)


def _url(made: Mapping[str, Any]) -> str | None:
    """Where a picture lies: an address, or the picture itself."""
    url, data = made.get("url"), made.get("b64_json")
    if isinstance(url, str) and url.startswith(("https://", "http://", "data:image/")):
        return url
    return f"data:image/{_type(data)};base64,{data}" if isinstance(data, str) and data else None


def _type(data: str) -> str:
    try:
        start = base64.b64decode(data[:16])
    except ValueError:
        return "png"
    return next((kind for signature, kind in SIGNATURES.items() if start.startswith(signature)), "png")


def _used(usage: Any, ask: Ask) -> Used:
    counted = usage if isinstance(usage, dict) else {}
    prompt, completion = counted.get("input_tokens"), counted.get("output_tokens")
    if isinstance(prompt, int) and isinstance(completion, int):
        return Used(Usage(prompt, completion, prompt + completion))
    prompt = estimated_tokens(ask.messages)
    return Used(Usage(prompt, 0, prompt, estimated=True))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
