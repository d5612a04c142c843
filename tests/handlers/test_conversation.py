"""POST conversation: who answers, and what reaches the upstream."""

import json
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, events, kinds, serving, text
from tests.upstream import Cut, Done, Say, Status, Upstream

QUESTION = [{"role": "user", "content": "Hello there"}]
CHOSEN = {"name": "Upstream", "label": "The upstream", "model": "small"}


def asked(upstream: Upstream) -> Json:
    """The body of the last request that reached the upstream."""
    (*_, last) = (request for request in upstream.requests if request.path == "/v1/chat/completions")
    assert isinstance(last.body, dict)
    return last.body


# Who answers


@pytest.mark.parametrize("provider", [{}, {"provider": None}, {"provider": ""}], ids=str)
async def test_without_a_provider_the_service_chooses(provider: Json, service: Service) -> None:
    answer = await service.ask(**provider)
    assert answer[0]["provider"].items() >= CHOSEN.items()


@pytest.mark.parametrize("provider", ["AnyProvider", "Auto"])
async def test_the_services_choice_has_a_name(provider: str, service: Service) -> None:
    answer = await service.ask(provider=provider)
    assert answer[0]["provider"].items() >= CHOSEN.items()


@pytest.mark.parametrize("provider", ["Upstream", "The upstream"])
async def test_a_provider_is_named_by_its_name_or_label(provider: str, service: Service) -> None:
    answer = await service.ask(provider=provider)
    assert answer[0]["provider"].items() >= CHOSEN.items()


@pytest.mark.parametrize("provider", ["NoSuch", "upstream", "custom:1", "elsewhere.example/v1", "a\0"])
async def test_an_unknown_provider_is_not_found(provider: str, service: Service, upstream: Upstream) -> None:
    status, answer = await service.post(CONVERSATION, {"messages": QUESTION, "provider": provider})
    assert (status, answer["error"]["code"]) == (404, "provider_not_found")
    assert answer["error"]["param"] == "provider"
    assert "/backend-api/v2/providers" in answer["error"]["message"]
    assert upstream.bill == []


@pytest.mark.parametrize("model", [None, ""])
async def test_without_a_model_the_providers_first_answers(
    model: str | None, service: Service, upstream: Upstream
) -> None:
    for provider in ("Upstream", None):
        await service.ask(provider=provider, model=model)
        assert asked(upstream)["model"] == "small"


@pytest.mark.parametrize("provider", ["Upstream", None])
async def test_a_named_model_answers(provider: str | None, service: Service, upstream: Upstream) -> None:
    answer = await service.ask(provider=provider, model="large")
    assert asked(upstream)["model"] == answer[0]["provider"]["model"] == "large"


@pytest.mark.parametrize("provider", ["Upstream", None])
async def test_a_model_that_no_list_has_is_not_found_before_the_stream(
    provider: str | None, service: Service, upstream: Upstream
) -> None:
    body = {"messages": QUESTION, "provider": provider, "model": "huge"}
    status, answer = await service.post(CONVERSATION, body)
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert "huge" in answer["error"]["message"]
    assert answer["error"]["param"] == "model"
    assert upstream.bill == []


@pytest.mark.parametrize("provider", ["Upstream", None])
async def test_where_no_list_is_known_any_model_is_passed_on(
    provider: str | None, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script_models(Status(404))
    upstream.models.append("huge")
    row = f'[[providers]]\nname = "Upstream"\nurl = "{upstream.url}"\nkey = "UPSTREAM_KEY"\n'
    async with serving(tmp_path, row, UPSTREAM_KEY="sk-ours") as service:
        answer = await service.ask(provider=provider, model="huge")
    assert kinds(answer) == ["provider", "content", "finish", "usage"]
    assert asked(upstream)["model"] == "huge"


async def test_ignored_providers_are_not_chosen(service: Service) -> None:
    status, answer = await service.post(CONVERSATION, {"messages": QUESTION, "ignored": ["Upstream"]})
    assert (status, answer["error"]["code"]) == (503, "unavailable")


async def test_a_provider_that_is_named_answers_although_it_is_ignored(service: Service) -> None:
    answer = await service.ask(provider="Upstream", ignored=["Upstream", "Other"])
    assert text(answer) == "Hello from the upstream."


# What reaches the upstream

MESSAGES: dict[str, tuple[list[Json], list[Json]]] = {
    "consecutive questions": (
        [{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}],
        [{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}],
    ),
    "an empty array after an upload": (
        [{"role": "user", "content": []}, {"role": "user", "content": "Two"}],
        [{"role": "user", "content": "Two"}],
    ),
    "empty parts": (
        [{"role": "user", "content": [{"type": "text", "text": ""}, {"text": ""}, {}]}, *QUESTION],
        QUESTION,
    ),
    "no content": ([{"role": "user", "content": None}, {"role": "user"}, *QUESTION], QUESTION),
    "a bare text": (
        [{"role": "user", "content": [{"text": "Hello"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    ),
    "parts with a type": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
    ),
    "an answer after an answer": (
        [{"role": "assistant", "content": "One"}, {"role": "assistant", "content": "Two"}, *QUESTION],
        [{"role": "assistant", "content": "One"}, *QUESTION],
    ),
    "what messages have besides": (
        [{"role": "system", "content": "Be brief.", "provider": {"name": "X"}, "id": 5}, *QUESTION],
        [{"role": "system", "content": "Be brief."}, *QUESTION],
    ),
    "a tool's turn": (
        [
            *QUESTION,
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
            {"role": "tool", "content": "", "tool_call_id": "1"},
        ],
        [
            *QUESTION,
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]},
            {"role": "tool", "content": "", "tool_call_id": "1"},
        ],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
async def test_messages_reach_the_upstream_tidied(name: str, service: Service, upstream: Upstream) -> None:
    sent, expected = MESSAGES[name]
    await service.ask(messages=sent)
    assert asked(upstream)["messages"] == expected


async def test_a_prompt_may_stand_alone(service: Service, upstream: Upstream) -> None:
    async with service.http.post(service.url + CONVERSATION, json={"prompt": "A red fox"}) as response:
        assert text(events(await response.read())) == "Hello from the upstream."
    assert asked(upstream)["messages"] == [{"role": "user", "content": "A red fox"}]


async def test_messages_come_before_the_prompt(service: Service, upstream: Upstream) -> None:
    body = {"messages": QUESTION, "prompt": "A red fox"}
    async with service.http.post(service.url + CONVERSATION, json=body) as response:
        assert response.status == 200
        await response.read()
    assert asked(upstream)["messages"] == QUESTION


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"prompt": ""},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"bucket_id": "1"}]}]},
    ],
    ids=str,
)
async def test_without_a_word_there_is_nothing_to_answer(
    body: Json, service: Service, upstream: Upstream
) -> None:
    status, answer = await service.post(CONVERSATION, body)
    assert (status, answer["error"]["param"]) == (400, "messages")
    assert upstream.bill == []


CLIENTS_OWN: Json = {
    "id": "7711326707633707308",
    "conversation_id": "1b22d7fc",
    "conversation": {"Upstream": {"message_id": "m-9"}},
    "prompt": None,
    "action": "next",
    "web_search": "a query",
    "download_media": True,
    "debug_mode": False,
    "aspect_ratio": "16:9",
    "width": 1024,
    "api_key": "sk-of-the-client",
    "base_url": "http://127.0.0.1:9/v1",
    "api_base": "http://127.0.0.1:9/v1",
    "proxy": "http://127.0.0.1:9",
    "headers": {"X-Evil": "1"},
    "cookies": {"a": "b"},
    "timeout": 1,
    "tool_calls": [{"function": {"name": "search_tool"}}],
    "media": [["http://127.0.0.1:9/a.png", "a.png"]],
    "extra_body": {"n": 100},
    "stream": False,
    "stream_options": {"include_usage": False},
    "n": 100,
}


async def test_what_a_client_sends_besides_is_accepted_and_goes_nowhere(
    service: Service, upstream: Upstream
) -> None:
    assert text(await service.ask(messages=QUESTION, **CLIENTS_OWN)) == "Hello from the upstream."
    assert asked(upstream) == {
        "model": "small",
        "messages": QUESTION,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


GENERATION: Json = {
    "temperature": 0.2,
    "top_p": 0.9,
    "top_k": 40,
    "max_tokens": 100,
    "max_completion_tokens": 100,
    "stop": ["\n", "END"],
    "seed": 7,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 100},
    "min_p": 0.1,
    "thinking": {"type": "disabled"},
}


async def test_the_parameters_of_generation_reach_the_upstream(service: Service, upstream: Upstream) -> None:
    await service.ask(**GENERATION)
    assert asked(upstream).items() >= GENERATION.items()


async def test_parameters_of_null_are_not_sent(service: Service, upstream: Upstream) -> None:
    nothing: Json = dict.fromkeys(GENERATION)
    await service.ask(**nothing)
    assert asked(upstream).keys() == {"model", "messages", "stream", "stream_options"}


async def test_no_header_of_the_client_reaches_the_upstream(service: Service, upstream: Upstream) -> None:
    headers = {
        "Authorization": "Bearer sk-of-the-client",
        "Cookie": "a=b",
        "x-user": "anna",
        "x-api-key": "sk-of-the-client",
        "x-api-base": "http://127.0.0.1:9/v1",
        "Referer": "http://127.0.0.1/secret",
    }
    async with service.asking(headers=headers) as response:
        await response.read()
    sent = upstream.requests[-1].headers
    assert not sent.keys() & {name.lower() for name in headers}
    assert "sk-of-the-client" not in str(sent)


async def test_a_key_goes_to_its_own_upstream_only(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream(key="sk-ours") as other:
        rows = ROW.format(url=upstream.url) + (
            f'\n[[providers]]\nname = "Other"\nurl = "{other.url}"\nkey = "OTHER_KEY"\n'
            'default_model = "small"\n'
        )
        async with serving(tmp_path, rows, OTHER_KEY="sk-ours") as service:
            assert text(await service.ask(provider="Other")) == "Hello from the upstream."
            assert text(await service.ask(provider="Upstream")) == "Hello from the upstream."
        assert other.requests[-1].headers["authorization"] == "Bearer sk-ours"
        assert not any("authorization" in request.headers for request in upstream.requests)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ";="],
)
async def test_any_content_type_will_do(content_type: str, service: Service) -> None:
    data, headers = json.dumps({"messages": QUESTION}), {"Content-Type": content_type}
    async with service.http.post(service.url + CONVERSATION, data=data, headers=headers) as response:
        assert text(events(await response.read())) == "Hello from the upstream."


# What web clients may wish for


@pytest.mark.parametrize("wish", [True, "news of today"])
async def test_a_search_is_passed_on_to_providers_that_search(
    wish: bool | str, tmp_path: Path, upstream: Upstream
) -> None:
    row = ROW.format(url=upstream.url) + 'web_search = { plugins = [{ id = "web" }] }\n'
    async with serving(tmp_path, row) as service:
        assert kinds(await service.ask(web_search=wish)) == ["provider", "content", "finish", "usage"]
        assert asked(upstream)["plugins"] == [{"id": "web"}]
        for none in (False, None, ""):
            await service.ask(web_search=none)
            assert "plugins" not in asked(upstream)


async def test_where_nobody_searches_the_answer_says_so(service: Service) -> None:
    answer = await service.ask(web_search=True)
    assert text(answer) == "Hello from the upstream."
    (note,) = (event for event in answer if event["type"] == "message")
    assert "search" in note["message"]


async def test_a_picture_has_the_shape_that_was_wished_for(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url) + 'image_models = ["small"]\n') as service:
        for ratio, size in (("16:9", "1024x576"), (None, None), ("", None)):
            await service.ask("A red fox", aspect_ratio=ratio)
            assert upstream.requests[-1].path == "/v1/images/generations"
            assert upstream.requests[-1].body.get("size") == size


@pytest.mark.parametrize(("continuation", "answer"), [(True, "One two"), (False, "One "), (None, "One ")])
async def test_another_provider_goes_on_where_that_is_wished_for(
    continuation: bool | None, answer: str, tmp_path: Path, upstream: Upstream
) -> None:
    async with Upstream() as other:
        upstream.script(Say("One "), Cut())
        other.script(Say("two"), Done())
        rows = ROW.format(url=upstream.url) + ROW.format(url=other.url).replace("pstream", "ther")
        async with serving(tmp_path, rows) as service:
            said = await service.ask(continuation=continuation)
        assert text(said) == answer
        assert ("switch" in kinds(said), "error" in kinds(said)) == (bool(continuation), not continuation)
