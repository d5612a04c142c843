"""Messages as web clients send them, and as a provider may see them."""

import pytest

from service.errors import BadRequest
from service.messages import Message, Part, estimated_tokens, tidied

HELLO = Message("user", "Hello")
ANSWER = Message("assistant", "Yes?")
CALL = Message("assistant", None, tool_calls=[{"id": "1"}])
RESULT = Message("tool", "", tool_call_id="1")
PICTURE: Part = {"type": "image_url", "image_url": {"url": "data:,"}}
TEXT: Part = {"type": "text", "text": "Hello"}

TABLE: dict[str, tuple[list[Message], list[Message]]] = {
    "as it stands": ([Message("system", "Be brief."), HELLO], [Message("system", "Be brief."), HELLO]),
    "blanks are text": ([Message("user", " ")], [Message("user", " ")]),
    "consecutive questions": ([HELLO, HELLO], [HELLO, HELLO]),
    "an empty text": ([Message("user", ""), HELLO], [HELLO]),
    "no content": ([Message("user"), HELLO], [HELLO]),
    "an empty array": ([HELLO, Message("user", [])], [HELLO]),
    "empty parts only": ([HELLO, Message("user", [{}, {"text": ""}, {"type": "text", "text": ""}])], [HELLO]),
    "an empty part among others": (
        [Message("user", [{"type": "text", "text": ""}, PICTURE])],
        [Message("user", [PICTURE])],
    ),
    "a bare text": ([Message("user", [{"text": "Hello"}])], [Message("user", [TEXT])]),
    "what is no part": (
        [Message("user", [{"text": 5}, {"bucket": "1"}, {"bucket_id": "1", "text": ""}, TEXT])],
        [Message("user", [TEXT])],
    ),
    "a bucket": (
        [Message("user", [{"bucket_id": "1"}, {"bucket_id": "1", "name": "a.png", "text": "A"}])],
        [Message("user", [{"bucket_id": "1"}, {"bucket_id": "1", "name": "a.png", "text": "A"}])],
    ),
    "a name": ([Message("user", [TEXT], "anna")], [Message("user", [TEXT], "anna")]),
    "an answer after an answer": (
        [HELLO, ANSWER, Message("assistant", "Or so."), HELLO],
        [HELLO, ANSWER, HELLO],
    ),
    "an answer after what is left out": (
        [ANSWER, Message("user", []), Message("assistant", "Or so."), HELLO],
        [ANSWER, HELLO],
    ),
    "a call without words, and a result without any": ([HELLO, CALL, RESULT], [HELLO, CALL, RESULT]),
    "a call after an answer": ([HELLO, ANSWER, CALL, RESULT], [HELLO, ANSWER, CALL, RESULT]),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_provider_sees_messages_tidied(name: str) -> None:
    sent, seen = TABLE[name]
    assert tidied(sent) == seen


@pytest.mark.parametrize("name", TABLE)
def test_tidied_messages_are_tidy(name: str) -> None:
    _, seen = TABLE[name]
    assert tidied(seen) == seen


@pytest.mark.parametrize("sent", [[], [Message("user", "")], [Message("user", [{}])]], ids=str)
def test_nothing_is_no_question(sent: list[Message]) -> None:
    with pytest.raises(BadRequest, match="nothing to answer") as raised:
        tidied(sent)
    assert raised.value.param == "messages"


@pytest.mark.parametrize(
    "content", ["a\0", [TEXT, {"type": "text", "text": "\0"}], [{"text": "\0"}]], ids=repr
)
def test_a_nul_character_is_refused_where_it_stands(content: str | list[Part]) -> None:
    with pytest.raises(BadRequest, match="NUL") as raised:
        tidied([HELLO, Message("user", content)])
    assert raised.value.param == "messages[1].content"


def test_an_estimate_counts_bytes_and_messages() -> None:
    assert estimated_tokens([]) == 1
    assert estimated_tokens([Message("user", "12345678")]) == 1 + 4 + 2
    assert estimated_tokens([Message("user", "éééé")]) == 1 + 4 + 2
    assert estimated_tokens([Message("user", [TEXT, PICTURE]), RESULT]) == 1 + (4 + 1) + 4
