"""What messages name reaches the model, once, and nobody else's; forms with pictures; file parts of `/v1`."""

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from PIL import Image

from tests.access import bearer
from tests.conftest import ROW
from tests.documents.made import pdf
from tests.serving import CONVERSATION, Json, Service, events, kinds, serving
from tests.serving import text as answered
from tests.upstream import Done, Finish, Say, Upstream

V2 = "/backend-api/v2"
NOTES = "The launch code word is PINEAPPLE-42.\nSecond line.\n"
FRAMED = f"<!-- File: notes.txt -->\n{NOTES}<-- End -->\n\n"


def picture(width: int = 800, height: int = 600, kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(written, kind)
    return written.getvalue()


async def upload(
    service: Service, name: str, content: bytes | str, bucket: str = "bkt", user: str = ""
) -> Json:
    """The last event of the stream that follows."""
    form = aiohttp.FormData(quote_fields=False)
    data = content.encode() if isinstance(content, str) else content
    form.add_field("files", io.BytesIO(data), filename=name)
    headers = {"x-user": user} if user else {}
    url = f"{service.url}{V2}/files/{bucket}"
    async with service.http.post(url, data=form, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    async with service.http.get(f"{url}/stream", headers=headers) as answer:
        *_, last = (await answer.text()).strip().split("\n\n")
    found: Json = json.loads(last.removeprefix("data: "))
    return found


def part(bucket: str = "bkt", **more: str) -> Json:
    return {"bucket_id": bucket, "url": f"{V2}/files/{bucket}"} | more


def user(*parts: Json | str) -> Json:
    return {"role": "user", "content": list(parts) if isinstance(parts[0], dict) else parts[0]}


def sent(upstream: Upstream) -> list[Json]:
    """The messages that the upstream was sent last."""
    messages: list[Json] = upstream.requests[-1].body["messages"]
    return messages


def chats(upstream: Upstream) -> int:
    return len([request for request in upstream.requests if request.path == "/v1/chat/completions"])


# The contract's flow


async def test_a_bucket_reaches_the_model_as_the_contract_has_it(
    service: Service, upstream: Upstream
) -> None:
    done = await upload(service, "notes.txt", NOTES)
    assert done == {"action": "done", "size": len(NOTES)}
    said = await service.ask(messages=[user(part()), {"role": "user", "content": []}, user("Which code?")])
    assert answered(said) == "Hello from the upstream."
    assert sent(upstream) == [user({"type": "text", "text": FRAMED}), user("Which code?")]
    await upload(service, "more.txt", "And a second file.")
    await service.ask(messages=[user(part()), user(part()), user("And now?")])
    (first, second) = sent(upstream)
    assert (
        first["content"][0]["text"] == f"{FRAMED}<!-- File: more.txt -->\nAnd a second file.\n<-- End -->\n\n"
    )
    assert second == user("And now?")
    assert "sources" not in kinds(said)


async def test_the_prompt_is_estimated_with_what_it_names(service: Service, upstream: Upstream) -> None:

    upstream.script(Say("Yes."), Finish(), Done())
    await upload(service, "notes.txt", "word " * 2_000)
    said = await service.ask(messages=[user(part()), user("Which?")])
    (usage,) = [event for event in said if event["type"] == "usage"]
    assert usage["usage"]["estimated"]
    assert 2_500 <= usage["usage"]["prompt_tokens"] <= 2_600


async def test_a_bucket_in_a_text_is_replaced(service: Service, upstream: Upstream) -> None:
    await upload(service, "notes.txt", NOTES)
    await service.ask(messages=[user('Read {"bucket_id":"bkt"} and {"bucket_id": "none"}. Which code?')])
    assert sent(upstream) == [user(f"Read {FRAMED} and . Which code?")]


async def test_what_a_model_says_is_replaced_by_nothing(service: Service, upstream: Upstream) -> None:
    await upload(service, "notes.txt", NOTES)
    told = {"role": "assistant", "content": '{"bucket_id":"bkt"}'}
    await service.ask(messages=[user("Say it."), told, user("Again.")])
    assert sent(upstream)[1] == told


async def test_a_missing_bucket_says_nothing(service: Service, upstream: Upstream) -> None:
    for bucket in ("missing", "..", "_", ""):
        await service.ask(messages=[user(part(bucket)), user("Hello")])
        assert sent(upstream) == [user("Hello")]
    before = chats(upstream)
    status, answer = await service.post(CONVERSATION, {"messages": [user(part("missing"))]})
    assert status == 400 and "nothing to answer" in answer["error"]["message"]
    assert chats(upstream) == before


async def test_a_bucket_of_another_is_missing(service: Service, upstream: Upstream) -> None:
    await upload(service, "notes.txt", "Hers", user="ann")
    await upload(service, "notes.txt", "His", user="bob")
    await upload(service, "pic.png", picture(), user="ann", bucket="pics")
    medium = part("pics", name="pic.png", url="/files/pics/media/pic.png")
    for name, heard in (("ann", "Hers"), ("bob", "His"), ("eve", None)):
        parts = [part(), medium, {"text": "Hello"}]
        async with service.asking(messages=[user(*parts)], headers={"x-user": name}) as answer:
            await answer.read()
        text = json.dumps(sent(upstream))
        assert [each for each in ("Hers", "His") if each in text] == ([heard] if heard else [])
        assert ("image_url" in text) == (name == "ann")


async def test_without_keys_a_bucket_of_who_names_nobody_is_anybodys(
    service: Service, upstream: Upstream
) -> None:
    """Web clients name their user when they ask, and not when they upload."""
    await upload(service, "notes.txt", NOTES)
    await upload(service, "notes.txt", "Hers", user="ann", bucket="hers")
    hers = "<!-- File: notes.txt -->\nHers\n<-- End -->\n\n"
    for name, bucket, text in (("ann", "bkt", FRAMED), ("ann", "hers", hers), ("", "hers", None)):
        headers = {"x-user": name} if name else {}
        asked = [user(part(bucket)), user("Hello")]
        async with service.asking(messages=asked, headers=headers) as answer:
            await answer.read()
        read = [user({"type": "text", "text": text})] if text else []
        assert sent(upstream) == [*read, user("Hello")]
    (_, key) = await service.context.keys.create("ann", "user")
    async with service.asking(messages=[user(part()), user("Hello")], headers=bearer(key)) as answer:
        await answer.read()
    assert sent(upstream) == [user("Hello")]


async def test_pictures_and_sounds_are_parts(service: Service, upstream: Upstream) -> None:
    await upload(service, "pic.png", picture())
    sound = b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 30
    await upload(service, "a.wav", sound)
    parts = [
        part(name="pic.png", url="/files/bkt/media/pic.png"),
        part(name="pic.png", url="https://here.example/files/bkt/media/pic.png"),
        part(name="a.wav", url="/files/bkt/media/a.wav"),
        part(name="far.png", url="https://pictures.example/far.png"),
        part(name="gone.png", url="/files/bkt/media/gone.png"),
        {"text": "What is that?"},
        {"text": ""},
    ]
    await service.ask(messages=[user(*parts)])
    small, again, heard, far, text = sent(upstream)[0]["content"]
    media_type, _, data = small["image_url"]["url"].partition(";base64,")
    assert media_type == "data:image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (400, 300)
    assert again == small
    assert heard == {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(sound).decode(), "format": "wav"},
    }
    assert far == {"type": "image_url", "image_url": {"url": "https://pictures.example/far.png"}}
    assert text == {"type": "text", "text": "What is that?"}


async def test_media_are_shown_with_the_last_message(service: Service, upstream: Upstream) -> None:
    inline = "data:image/png;base64," + base64.b64encode(picture(1, 1)).decode()
    media = [[inline, "a.png"], ["https://pictures.example/b.png", None], ["/etc/passwd", "c.png"], []]
    media += [[address, "d.png"] for address in NOT_PUBLIC]
    await service.ask(messages=[user("Earlier."), user("What is that?")], media=media)
    first, last = sent(upstream)
    assert first == user("Earlier.")
    assert last["content"] == [
        {"type": "image_url", "image_url": {"url": inline}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/b.png"}},
        {"type": "text", "text": "What is that?"},
    ]


# Forms


def form(question: Json | None = None, **files: tuple[str, bytes]) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    if question is not None:
        form.add_field("json", json.dumps(question))
    for name, (field, content) in files.items():
        if field == "media_url":
            form.add_field(field, content.decode())
        else:
            form.add_field(field, io.BytesIO(content), filename=name.replace("_", "."))
    return form


QUESTION = {"messages": [{"role": "user", "content": "What is that?"}]}


async def test_a_form_shows_its_pictures(service: Service, upstream: Upstream) -> None:
    content = picture(3, 2)
    data = form(
        QUESTION,
        a_png=("files", content),
        evil_exe=("files", b"MZ"),
        fake_png=("files", b"<html>"),
        b_txt=("files", b"x"),
    )
    async with service.http.post(service.url + CONVERSATION, data=data) as answer:
        assert answer.status == 200, await answer.text()
        assert answered(events(await answer.read())) == "Hello from the upstream."
    shown, text = sent(upstream)[0]["content"]
    assert shown["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(content).decode()
    assert text == {"type": "text", "text": "What is that?"}


@pytest.mark.parametrize(
    ("data", "status", "param"),
    [
        (form(), 400, "json"),
        (form({"messages": []}), 400, "messages"),
        (form(a_png=("files", b"x")), 400, "json"),
        (form(["no", "object"]), 400, "$"),  # type: ignore[arg-type]
    ],
)
async def test_a_form_without_a_question_is_refused(
    service: Service, data: aiohttp.FormData, status: int, param: str
) -> None:
    async with service.http.post(service.url + CONVERSATION, data=data) as answer:
        assert answer.status == status, await answer.text()
        assert (await answer.json())["error"]["param"] == param


async def test_the_files_of_a_form_have_a_limit(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_FILES_QUESTION_LIMIT="1000") as service:
        data = form(QUESTION, a_png=("files", picture(1, 1)), b_png=("files", b"\x89PNG\r\n\x1a\n" * 120))
        async with service.http.post(service.url + CONVERSATION, data=data) as answer:
            assert answer.status == 413
            assert "files.question_limit" in (await answer.json())["error"]["message"]
    assert chats(upstream) == 0


NOT_PUBLIC = (
    "http://127.0.0.1/a.png",
    "http://localhost:8080/a.png",
    "http://10.0.0.1/a.png",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/a.png",
    "http://2130706433/a.png",
    "file:///etc/passwd",
    "http://user:word@1.1.1.1/a.png",
    "",
)


@pytest.mark.parametrize("url", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_refused(tmp_path: Path, upstream: Upstream, url: str) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_CLIENTS_UPSTREAMS="true") as service:
        data = form(QUESTION, a=("media_url", url.encode()))
        async with service.http.post(service.url + CONVERSATION, data=data) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["message"].startswith("Invalid or disallowed media_url")
    assert chats(upstream) == 0


@pytest.mark.parametrize(
    ("settings", "url", "status"),
    [
        ({}, "http://1.1.1.1/a.png", 400),
        ({"CAUSERIE_CLIENTS_UPSTREAMS": "true"}, "http://1.1.1.1/a.png?size=2", 200),
        ({"CAUSERIE_CLIENTS_UPSTREAM_HOSTS": "pictures.intranet"}, "http://pictures.intranet/a.png", 200),
        ({"CAUSERIE_CLIENTS_UPSTREAM_HOSTS": "pictures.intranet"}, "http://1.1.1.1/a.png", 400),
    ],
)
async def test_an_address_goes_on_only_where_the_operator_allows_it(
    tmp_path: Path, upstream: Upstream, settings: dict[str, str], url: str, status: int
) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), **settings) as service:
        data = form(QUESTION, a=("media_url", url.encode()))
        async with service.http.post(service.url + CONVERSATION, data=data) as answer:
            assert answer.status == status
            await answer.read()
    if status == 200:
        assert sent(upstream)[0]["content"][0] == {"type": "image_url", "image_url": {"url": url}}


# Documents that are not there yet


async def test_a_document_is_waited_for(tmp_path: Path, upstream: Upstream) -> None:
    """The question comes with the upload's answer, before anybody can have read the document."""
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_STREAM_HEARTBEAT="0.01") as service:
        data = aiohttp.FormData()
        data.add_field("files", pdf(["The code is PINEAPPLE."] * 3), filename="a.pdf")
        async with service.http.post(f"{service.url}{V2}/files/bkt", data=data) as answer:
            await answer.read()
        async with service.asking(messages=[user(part()), user("Which?")]) as answer:
            stream = await answer.read()
        assert b": ping" in stream
        assert "message" not in kinds(events(stream))
        assert "PINEAPPLE" in sent(upstream)[0]["content"][0]["text"]


async def test_what_is_not_read_in_time_is_said(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_READING_TIMEOUT="0") as service:
        await upload(service, "a.txt", "Was read.")
        data = aiohttp.FormData()
        data.add_field("files", pdf(["The code is PINEAPPLE."]), filename="b.pdf")
        async with service.http.post(f"{service.url}{V2}/files/bkt", data=data) as answer:
            await answer.read()
        said = await service.ask(messages=[user(part()), user("Which?")])
        (noted,) = [event for event in said if event["type"] == "message"]
        assert noted["error"] == "NotReadYet" and "b.pdf" in noted["message"]
        assert kinds(said)[0] == "message"
        text = sent(upstream)[0]["content"][0]["text"]
        assert "Was read." in text and "PINEAPPLE" not in text


async def test_what_cannot_be_read_says_why(service: Service, upstream: Upstream) -> None:
    await upload(service, "a.zip", b"PK\x03\x04" + b"\0" * 50)
    await service.ask(messages=[user(part()), user("Which?")])
    assert "a.zip" in sent(upstream)[0]["content"][0]["text"]
    assert "could not be read" in sent(upstream)[0]["content"][0]["text"]


# `/v1`


@pytest.fixture
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def file_id(client: openai.AsyncOpenAI, name: str, content: bytes) -> str:
    made = await client.files.create(file=(name, content), purpose="user_data")
    await client.files.wait_for_processing(made.id, poll_interval=0.01)
    return made.id


async def chat(client: openai.AsyncOpenAI, file: Json) -> Any:
    parts: Any = [{"type": "file", "file": file}, {"type": "text", "text": "Which code?"}]
    return await client.chat.completions.create(model="small", messages=[{"role": "user", "content": parts}])


async def test_a_file_by_its_id(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    id = await file_id(client, "notes.txt", NOTES.encode())
    answer = await chat(client, {"file_id": id})
    assert answer.choices[0].message.content == "Hello from the upstream."
    text, question = sent(upstream)[0]["content"]
    assert (text, question["text"]) == ({"type": "text", "text": FRAMED}, "Which code?")
    seen = await file_id(client, "pic.png", picture(3, 2))
    await chat(client, {"file_id": seen})
    assert sent(upstream)[0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


async def test_a_file_in_the_question(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    data = base64.b64encode(pdf(["The code is PINEAPPLE."])).decode()
    for encoded in (data, f"data:application/pdf;base64,{data}"):
        await chat(client, {"file_data": encoded, "filename": "a.pdf"})
        text = sent(upstream)[0]["content"][0]["text"]
        assert text.startswith("<!-- File: a.pdf -->\n") and "PINEAPPLE" in text
    assert [file async for file in client.files.list()] == [], "nothing of it is kept"


async def test_files_that_are_not_there_or_cannot_be_read_have_a_status(
    client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    with pytest.raises(openai.NotFoundError):
        await chat(client, {"file_id": "file-missing"})
    with pytest.raises(openai.BadRequestError):
        await chat(client, {"file_data": "no base64!", "filename": "a.pdf"})
    with pytest.raises(openai.UnprocessableEntityError):
        await chat(client, {"file_data": base64.b64encode(b"MZ\0\0").decode(), "filename": "a.exe"})
    assert chats(upstream) == 0


async def test_responses_read_files(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    id = await file_id(client, "notes.txt", NOTES.encode())
    data = "data:text/plain;base64," + base64.b64encode(b"Inline").decode()
    content: Any = [
        {"type": "input_file", "file_id": id},
        {"type": "input_file", "file_data": data, "filename": "b.txt"},
        {"type": "input_text", "text": "Which?"},
    ]
    first = await client.responses.create(model="small", input=[{"role": "user", "content": content}])
    stored, inline, _ = sent(upstream)[0]["content"]
    assert stored["text"] == FRAMED
    assert inline["text"] == "<!-- File: b.txt -->\nInline\n<-- End -->\n\n"
    await client.responses.create(model="small", input="And then?", previous_response_id=first.id)
    assert sent(upstream)[0]["content"][0]["text"] == FRAMED
    with pytest.raises(openai.BadRequestError):
        nothing: Any = [{"role": "user", "content": [{"type": "input_file"}]}]
        await client.responses.create(model="small", input=nothing)


async def test_messages_read_documents(
    service: Service, client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    id = await file_id(client, "notes.txt", NOTES.encode())
    data = base64.b64encode(pdf(["The code is PINEAPPLE."])).decode()
    content: Any = [
        {"type": "document", "source": {"type": "file", "file_id": id}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Plain"}},
        {"type": "text", "text": "Which?"},
    ]
    async with anthropic.AsyncAnthropic(base_url=service.url, api_key="none", max_retries=0) as asking:
        await asking.messages.create(
            model="small", max_tokens=9, messages=[{"role": "user", "content": content}]
        )
    texts = [part["text"] for part in sent(upstream)[0]["content"]]
    assert texts[0] == FRAMED
    assert "PINEAPPLE" in texts[1]
    assert texts[2:] == ["Plain", "Which?"]


async def test_a_file_of_another_is_missing(service: Service, upstream: Upstream) -> None:
    await upload(service, "notes.txt", NOTES, user="ann")
    (file,) = (await service.get("/v1/files", headers={"x-user": "ann"}))["data"]
    body = {"model": "small", "messages": [user({"type": "file", "file": {"file_id": file["id"]}})]}
    status, _ = await service.post("/v1/chat/completions", body, headers={"x-user": "bob"})
    assert (status, chats(upstream)) == (404, 0)
    status, _ = await service.post("/v1/chat/completions", body, headers={"x-user": "ann"})
    assert (status, chats(upstream)) == (200, 1)
