"""Pictures in a conversation: what is asked of who makes them, and what a v2 client is shown."""

from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, kinds, serving
from tests.upstream import PICTURE, Data, Done, Finish, Say, Status, Step, Upstream, failure

PAINTER = ROW + 'image_models = ["small"]\n'
INLINE = f"data:image/png;base64,{PICTURE}"


def pictures(answer: list[Json]) -> list[Json]:
    return [event for event in answer if event["type"] == "content"]


def wish(upstream: Upstream) -> Json:
    """What was asked for last."""
    request = upstream.requests[-1]
    assert request.path == "/v1/images/generations"
    body: Json = request.body
    return body


async def draw(service: Service, prompt: str = "A red bus", **body: object) -> list[Json]:
    return await service.ask(prompt, model="small", download_media=False, **body)


async def test_a_picture_is_an_answer(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        answer = await draw(service, aspect_ratio="16:9")
        assert kinds(answer) == ["provider", "content", "finish", "usage"]
        assert pictures(answer) == [
            {
                "type": "content",
                "content": f'<a href="{INLINE}" data-width="1024" data-height="576" data-source="">'
                f'<img src="{INLINE}" alt="A red bus" width="" height=""></a>',
                "urls": [INLINE],
                "alt": "A red bus",
            }
        ]
        assert wish(upstream) == {"model": "small", "prompt": "A red bus", "size": "1024x576"}
        assert answer[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        assert upstream.bill == [(3, 1)]


async def test_it_is_asked_for_in_the_last_words_of_the_user(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        messages = [
            {"role": "system", "content": "You draw."},
            {"role": "user", "content": "A bus"},
            {"role": "assistant", "content": "<img>"},
            {"role": "user", "content": [{"type": "text", "text": "Now a train"}]},
            {"role": "user", "content": []},
        ]
        await draw(service, messages=messages)
        assert wish(upstream) == {"model": "small", "prompt": "Now a train"}


async def test_the_nearest_size_is_taken_where_there_are_few(tmp_path: Path, upstream: Upstream) -> None:
    sizes = 'image_sizes = ["1024x1024", "1536x1024", "1024x1536"]\n'
    async with serving(tmp_path, PAINTER.format(url=upstream.url) + sizes) as service:
        for ratio, size in (
            ("1:1", "1024x1024"),
            ("5:4", "1536x1024"),
            ("16:9", "1536x1024"),
            ("9:21", "1024x1536"),
        ):
            await draw(service, aspect_ratio=ratio)
            assert wish(upstream)["size"] == size


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"aspect_ratio": "7:3"}, "aspect_ratio must be one of 16:9"),
        ({"messages": [{"role": "assistant", "content": "Hm."}]}, "nothing to draw"),
    ],
)
async def test_what_cannot_be_drawn_is_refused_before(
    tmp_path: Path, upstream: Upstream, body: Json, words: str
) -> None:
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        question = {"model": "small", "prompt": "A bus", "provider": "Upstream", **body}
        status, error = await service.post(CONVERSATION, question)
        assert (status, words in error["error"]["message"]) == (400, True)
        assert not [request for request in upstream.requests if request.method == "POST"]


async def test_what_was_asked_for_is_no_markup(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at("/v1/images/generations", Status(200, {"data": [{"url": 'https://a.example/?a="&b'}]}))
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        (picture,) = pictures(await draw(service, '"><script>alert(1)</script>'))
        assert "<script>" not in picture["content"]
        for place in ("href", "src"):
            assert f'{place}="https://a.example/?a=&quot;&amp;b"' in picture["content"]
        assert picture["urls"] == ['https://a.example/?a="&b']
        assert picture["alt"] == '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([Status(400, failure("That is against our rules."))], "against our rules"),
        ([Status(200, {"data": []})], "no picture"),
        ([Status(200, {"data": [{"url": "javascript:alert(1)"}]})], "no picture"),
        ([Status(200, b"<p>", {"Content-Type": "text/html"})], "makes no sense"),
    ],
    ids=["refused", "none", "no picture", "a page"],
)
async def test_what_fails_is_told(tmp_path: Path, upstream: Upstream, steps: list[Step], words: str) -> None:
    upstream.script_at("/v1/images/generations", *steps)
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        answer = await draw(service, provider="Upstream")
        assert (answer[-1]["type"], words in answer[-1]["message"]) == ("error", True)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("/9j/4AAQSkZJRgABAQ==", "jpeg"),
        ("UklGRiIAAABXRUJQ", "webp"),
        ("R0lGODlhAQABAAAA", "gif"),
        ("!", "png"),
    ],
)
async def test_a_picture_has_the_type_that_it_begins_with(
    tmp_path: Path, upstream: Upstream, data: str, kind: str
) -> None:
    upstream.script_at("/v1/images/generations", Status(200, {"data": [{"b64_json": data}]}))
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        answer = await draw(service)
        assert pictures(answer)[0]["urls"] == [f"data:image/{kind};base64,{data}"]
        assert answer[-1]["usage"]["completion_tokens"] == 0, "a picture is no text that could be counted"
        assert answer[-1]["usage"]["estimated"]


async def test_who_makes_pictures_is_known_from_the_list(tmp_path: Path, upstream: Upstream) -> None:
    """Together AI says what a model is for: some are asked at a path of their own."""
    upstream.script_models(Status(200, {"data": [{"id": "small", "type": "image"}, {"id": "large"}]}))
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        cards = await service.get("/backend-api/v2/models/Upstream")
        assert [card["image"] for card in cards] == [True, False]
        assert pictures(await draw(service))[0]["urls"] == [INLINE]
        assert kinds(await service.ask(model="large")) == ["provider", "content", "finish", "usage"]
        assert upstream.requests[-1].path == "/v1/chat/completions"


async def test_who_draws_in_a_chat_is_asked_there(tmp_path: Path, upstream: Upstream) -> None:
    """As OpenRouter has it."""
    architecture = {"input_modalities": ["text"], "output_modalities": ["image", "text"]}
    upstream.script_models(Status(200, {"data": [{"id": "small", "architecture": architecture}]}))
    image = {"type": "image_url", "image_url": {"url": INLINE}}
    delta = {"content": "", "images": [image]}
    upstream.script(Say("Here:"), Data({"choices": [{"index": 0, "delta": delta}]}), Finish(), Done())
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        answer = await draw(service, aspect_ratio="16:9")
        said, drawn = pictures(answer)
        assert said["content"] == "Here:"
        assert (drawn["urls"], drawn["alt"]) == ([INLINE], "A red bus")
        assert f'<img src="{INLINE}"' in drawn["content"]
        body = upstream.requests[-1].body
        assert body["modalities"] == ["image", "text"]
        assert body["image_config"] == {"aspect_ratio": "16:9"}
