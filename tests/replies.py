"""What the scripted upstream answers beside its chats: lists of models, embeddings, pictures, moderation."""

import base64
import hashlib
import struct
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

from tests.request import Json, Request

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n not much of a picture").decode()


def _models(request: Request, models: Sequence[str], page: int) -> Json:
    if "anthropic-version" not in request.headers:
        return {"object": "list", "data": [{"id": model, "object": "model"} for model in models]}
    after = parse_qs(request.query).get("after_id")
    start = models.index(after[0]) + 1 if after else 0
    listed = models[start : start + page]
    data = [{"type": "model", "id": model, "display_name": model.title()} for model in listed]
    return {"data": data, "has_more": start + page < len(models), "last_id": listed[-1]}


def _tags(_: Request, models: Sequence[str], __: int) -> Json:
    return {"models": [{"name": model, "model": model, "details": {}} for model in models]}


def _embeddings(request: Request, *_: object) -> Json:
    texts = request.body["input"]
    texts = [texts] if isinstance(texts, str) else texts
    request.charge()
    vectors = [vector(text, request.body.get("dimensions") or 4) for text in texts]
    if request.body.get("encoding_format") == "base64":
        packed = [struct.pack(f"<{len(numbers)}f", *numbers) for numbers in vectors]
        said: list[object] = [base64.b64encode(numbers).decode() for numbers in packed]
    else:
        said = list(vectors)
    data = [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(said)]
    usage = {"prompt_tokens": request.prompt_tokens, "total_tokens": request.prompt_tokens}
    return {"object": "list", "data": data, "model": request.body["model"], "usage": usage}


def vector(text: str, dimensions: int = 4) -> list[float]:
    """Small numbers that are the same for the same text, and can be told exactly in single precision."""
    digest = hashlib.sha256(text.encode()).digest()
    return [(digest[index % 32] - 128) / 128 for index in range(dimensions)]


def _pictures(request: Request, *_: object) -> Json:
    count = request.body.get("n") or 1
    request.charge(count)
    url = {"url": "https://pictures.example/1.png"}
    made = url if request.body.get("response_format") == "url" else {"b64_json": PICTURE}
    usage = {"input_tokens": request.prompt_tokens, "output_tokens": count}
    total = {"total_tokens": request.prompt_tokens + count}
    return {"created": 1_767_225_600, "data": [made] * count, "usage": usage | total}


def _judgement(request: Request, *_: object) -> Json:
    """Whatever speaks of violence is flagged."""
    texts = request.body["input"]
    texts = [texts] if isinstance(texts, str) else texts
    results = [
        {
            "flagged": "violence" in text,
            "categories": {"violence": "violence" in text},
            "category_scores": {"violence": float("violence" in text)},
        }
        for text in texts
    ]
    return {"id": "modr-1", "model": request.body.get("model") or "moderator", "results": results}


def _transcript(request: Request, *_: object) -> Json | bytes:
    """In the form that was asked for; four seconds long, whatever was sent."""
    text = "What is the capital of France?"
    match request.body.get("response_format", ["json"]):
        case ["verbose_json"]:
            segment = {"id": 0, "start": 0.0, "end": 4.0, "text": text}
            return {"task": "transcribe", "language": "english", "duration": 4.0, "text": text} | {
                "segments": [segment]
            }
        case ["json"]:
            return {"text": text, "usage": {"type": "duration", "seconds": 4}}
        case ["srt"]:
            return f"1\n00:00:00,000 --> 00:00:04,000\n{text}\n".encode()
        case ["vtt"]:
            return f"WEBVTT\n\n00:00.000 --> 00:04.000\n{text}\n".encode()
        case _:
            return f"{text}\n".encode()


REPLIES: dict[str, Callable[[Request, Sequence[str], int], Json | bytes]] = {
    "POST /v1/audio/transcriptions": _transcript,
    "POST /v1/audio/translations": _transcript,
    "GET /v1/models": _models,
    "GET /api/tags": _tags,
    "POST /v1/embeddings": _embeddings,
    "POST /v1/images/generations": _pictures,
    "POST /v1/moderations": _judgement,
}
"""From the request, the models there are, and how many of them Anthropic's list has at a time."""
