"""Whatever pieces an answer arrives in, it is the same answer, and nothing of it is lost."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from service.events import Content, Event, Finished, Reasoning, ToolCalls
from service.providers.calls import CallDelta, Calls, FunctionDelta
from service.providers.repair import TAGS, Choice, Thoughts
from service.providers.surrogates import Halves, mended, whole
from service.providers.written import LONGEST, WrittenCalls

TOOLS = frozenset({"weather", "time"})
CALL = '{"name": "weather", "arguments": {"city": "Oslo"}}'
ARGUMENTS = '{"city":"Oslo"}'


class Said(Struct):
    """An answer put together: its thoughts, its text, its calls in their order, and why it ended."""

    thoughts: str = ""
    text: str = ""
    calls: list[tuple[str, str]] = []
    reason: str = ""


def put_together(events: Iterable[Event]) -> Said:
    said = Said()
    for event in events:
        match event:
            case Reasoning(token=str(token)):
                said.thoughts += token
            case Content():
                said.text += event.content
            case ToolCalls():
                for call in event.tool_calls:
                    assert call.function
                    if call.index == len(said.calls):
                        assert call.id and call.type == "function" and call.function.name
                        said.calls.append((call.function.name, ""))
                    else:
                        assert (call.id, call.type, call.function.name) == (None, None, None)
                    name, arguments = said.calls[call.index]
                    said.calls[call.index] = name, arguments + (call.function.arguments or "")
            case Finished():
                said.reason = event.finish.reason
            case _:
                pass
    return said


def said(pieces: Iterable[str], tools: frozenset[str] = TOOLS) -> Said:
    choice, events = Choice(0, tools, "seed"), list[Event]()
    for piece in pieces:
        choice.say(piece, events)
    choice.end(events)
    return put_together(events)


PARTS = st.one_of(
    st.sampled_from(
        [*TAGS, *TAGS.values(), "```", "```json\n", "\n```", "\n", " ", "<", "`", "{", '"', "\\", "]"]
    ),
    st.sampled_from(
        [CALL, f"[{CALL}, {CALL}]", "<tool_call>", "</tool_call>", '{"name": "other", "arguments": {}}']
    ),
    st.text(alphabet='ab\n <`{"é😀', max_size=8),
)
texts = st.lists(PARTS, max_size=12).map("".join)


def pieces_of(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(text=texts, data=st.data())
def test_any_pieces_say_the_same(text: str, data: st.DataObject) -> None:
    assert said(pieces_of(text, data)) == said([text])
    assert said(text) == said([text])


@given(text=texts, data=st.data())
def test_without_tools_and_signs_nothing_is_changed_or_withheld(text: str, data: st.DataObject) -> None:
    text = f"a{text}"
    choice, events = Choice(0, frozenset(), "seed"), list[Event]()
    for piece in pieces_of(text, data):
        choice.say(piece, events)
    assert put_together(events) == Said(text=text)


@given(text=texts, data=st.data())
def test_what_is_no_call_comes_out_unchanged(text: str, data: st.DataObject) -> None:
    written = WrittenCalls(frozenset({"nobody"}))
    out = [piece for part in pieces_of(text, data) for piece in written.feed(part)] + written.end()
    assert "".join(str(piece) for piece in out) == text


@given(text=texts, data=st.data())
def test_what_is_left_is_what_was_withheld(text: str, data: st.DataObject) -> None:
    """At any moment, what was told and what is left are all that came, but for calls."""
    written = WrittenCalls(TOOLS)
    told = [piece for part in pieces_of(text, data) for piece in written.feed(part)]
    if all(isinstance(piece, str) for piece in told):
        assert "".join(str(piece) for piece in told + written.left()) == text


def in_two(text: str) -> list[list[str]]:
    """The text cut at any of its first places."""
    return [[text[:cut], text[cut:]] for cut in range(min(len(text), 100))]


WRITTEN = {
    "fenced": f"```json\n{CALL}\n```",
    "fenced without a name": f"```\n{CALL}\n```\n",
    "fenced, after a word": f"I look it up.\n\n```tool_call\n{CALL}```",
    "tagged": f"<tool_call>\n{CALL}\n</tool_call>",
    "tagged, in the middle": f"I look it up: <tool_call>{CALL}</tool_call>",
    "bare": f" {CALL}\n",
    "bare, two of them": f"{CALL}\n{CALL}",
    "a list": f"[{CALL}, {CALL}]",
    "a list in a tag, twice": f"<tool_call>[{CALL}]</tool_call>\n<tool_call>{CALL}</tool_call>",
    "as OpenAI has it": f'{{"tool_calls": [{{"type": "function", "function": {CALL}}}]}}',
    "as Llama has it": '{"type": "function", "name": "weather", "parameters": {"city": "Oslo"}}',
    "arguments as a text": '{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
    "a fence in an argument": '```json\n{"name": "weather", "arguments": {"city": "```x```"}}\n```',
    "a line break in an argument": '```json\n{"name": "weather", "arguments": {"city": "Os\nlo"}}\n```',
    "after thoughts": f"<think>Which?</think>\n{CALL}",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_model_writes_is_a_call(name: str) -> None:
    text = WRITTEN[name]
    for pieces in (text, *in_two(text)):
        answer = said(pieces)
        assert answer.reason == "tool_calls"
        assert {called for called, _ in answer.calls} == {"weather"}
        assert all(set(json.loads(arguments)) == {"city"} for _, arguments in answer.calls)
        assert "weather" not in answer.text


SHOWN = {
    "an unknown tool": '```json\n{"name": "rm", "arguments": {}}\n```',
    "no arguments": '{"name": "weather"}',
    "arguments that are no object": '{"name": "weather", "arguments": [1]}',
    "an answer in JSON": '{"name": "Oslo", "arguments": {}}',
    "text after it": f"{CALL} is what I would call.",
    "a fence that is not at the beginning of a line": f"Use ```json\n{CALL}\n```",
    "another language": f"```python\n{CALL}\n```",
    "half of it": CALL[:-1],
    "one call among other things": f"[{CALL}, 1]",
    "very long": '<tool_call>{"name": "weather", "arguments": {"city": "%s"}}</tool_call>' % ("x" * LONGEST),
    "very deep": '{"name": "weather", "arguments": %s' % ("[" * 5000),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_a_model_shows_is_text(name: str) -> None:
    text = SHOWN[name]
    for pieces in ([text[at : at + 7] for at in range(0, len(text), 7)], *in_two(text)):
        assert said(pieces) == Said(text=text, reason="stop")


GIVEN_UP = {
    '{"an': ('swer": ', '{"answer": '),
    '{"name": "wea': ('ve", ', '{"name": "weave", '),
    "```js": ("\n{", "```js\n{"),
    '<tool_call>{"name": "weather"}</tool_': ("call> a", '<tool_call>{"name": "weather"}</tool_call> a'),
    "``": ("a", "``a"),
    "<tool_": ("a", "<tool_a"),
    '{"name": "weather", "arguments": {"x": "': ("x" * LONGEST, None),
    '```json\n{"name": "weather", "arguments": {"x": "': ("x" * LONGEST, None),
}


@pytest.mark.parametrize("text", GIVEN_UP)
def test_text_is_withheld_no_longer_than_it_may_be_a_call(text: str) -> None:
    more, expected = GIVEN_UP[text]
    written = WrittenCalls(TOOLS)
    assert written.feed(text) == []
    assert "".join(str(piece) for piece in written.feed(more)) == (expected or text + more)
    assert written.feed("4") == ["4"]


def test_text_goes_on_as_it_comes_where_tools_were_given() -> None:
    written, words = WrittenCalls(TOOLS), ["Let", " me", " see.\n", "Yes"]
    assert [written.feed(word) for word in words] == [[word] for word in words]


def test_an_upstream_that_makes_calls_writes_none() -> None:
    choice, events = Choice(0, TOOLS, "seed"), list[Event]()
    choice.say(f"<think>a</think>{CALL}", events)
    choice.call([CallDelta(0, "call_1", function=FunctionDelta("time", "{}"))], events)
    choice.say(f"\n```json\n{CALL}\n```", events)
    choice.end(events)
    assert put_together(events) == Said("a", f"{CALL}\n```json\n{CALL}\n```", [("time", "{}")], "tool_calls")


def test_blanks_after_a_call_are_text() -> None:
    choice, events = Choice(0, frozenset(), "seed"), list[Event]()
    choice.say("<think>a</think>", events)
    choice.call([CallDelta(0, "call_1", function=FunctionDelta("time", "{}"))], events)
    choice.say("\nb", events)
    assert put_together(events).text == "\nb"


@pytest.mark.parametrize(
    ("told", "reason"), [("", "tool_calls"), ("stop", "tool_calls"), ("length", "length")]
)
def test_only_an_answer_that_was_not_cut_off_ends_with_its_calls(told: str, reason: str) -> None:
    choice, events = Choice(0, frozenset(), "seed"), list[Event]()
    choice.call([CallDelta(0, "call_1", function=FunctionDelta("time", "{}"))], events)
    choice.finish = told
    choice.end(events)
    assert put_together(events).reason == reason


def test_thoughts_are_closed_whenever_the_answer_goes_on() -> None:
    choice, events = Choice(0, frozenset(), "seed"), list[Event]()
    for _ in range(2):
        choice.say("a", events)
        choice.think("b", events)
    choice.end(events)
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Content", "Reasoning", "Reasoning"] * 2 + ["Finished"]


@pytest.mark.parametrize(("opening", "closing"), TAGS.items())
def test_thoughts_are_told_apart(opening: str, closing: str) -> None:
    text = f" \n{opening}\n a {closing[:-1]} b{closing}\n\n c {opening}d{closing}"
    expected = Said(f"a {closing[:-1]} b", f"c {opening}d{closing}", [], "stop")
    for cut in range(len(text)):
        assert said([text[:cut], text[cut:]]) == expected
    assert said(text) == expected


OPEN = {
    "": ("", ""),
    "  ": ("", "  "),
    " <thin": ("", " <thin"),
    "<think": ("", "<think"),
    "<think>": ("", ""),
    "<think>a</thi": ("a</thi", ""),
    "<think>\n</think>\n": ("", ""),
    "a <think>b</think>": ("", "a <think>b</think>"),
    "a</think>b": ("", "a</think>b"),
    "<thinker>a</thinker>": ("", "<thinker>a</thinker>"),
    " " * 300 + "<think>a</think>": ("", " " * 300 + "<think>a</think>"),
}


@pytest.mark.parametrize("text", OPEN)
def test_what_is_open_at_the_end(text: str) -> None:
    for pieces in ([text], text):
        thoughts = Thoughts()
        told = [*(thoughts.feed(piece) for piece in pieces), thoughts.end()]
        assert ("".join(thought for thought, _ in told), "".join(answer for _, answer in told)) == OPEN[text]


@given(text=st.text(alphabet="a<😀é\U0010ffff", max_size=12), data=st.data())
def test_halves_find_each_other(text: str, data: st.DataObject) -> None:
    units = text.encode("utf-16-le")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(units) // 2), max_size=8)))
    edges = zip([0, *cuts], [*cuts, len(units) // 2], strict=True)
    halves = Halves()
    pieces = [units[2 * start : 2 * stop].decode("utf-16-le", "surrogatepass") for start, stop in edges]
    assert "".join(halves.joined("content", piece) for piece in pieces) == text
    halves.end()
    assert halves.dropped == 0


@given(units=st.lists(st.sampled_from(["a", "\ud83d", "\ude00", "😀"]), max_size=8))
def test_halves_that_stay_alone_are_dropped_and_counted(units: list[str]) -> None:
    halves = Halves()
    joined = "".join(halves.joined("content", unit) for unit in units)
    halves.end()
    joined.encode()
    assert joined == whole("".join(units)) == mended(["".join(units)])[0]
    assert len("".join(units)) == len(joined) + joined.count("😀") - units.count("😀") + halves.dropped


PARALLEL = [
    ("weather", '{"city":"Oslo"}'),
    ("time", '{"zone":{"name":"CET"}}'),
    ("weather", '{"city":"Bergen"}'),
]


@st.composite
def deltas(draw: st.DrawFn) -> list[CallDelta]:
    """Three calls, each in pieces of its own, with all or some of what tells them apart."""
    numbered, named_again, with_ids = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    made = []
    for number, (name, arguments) in enumerate(PARALLEL):
        cuts = sorted(draw(st.lists(st.integers(1, len(arguments) - 1), max_size=4, unique=True)))
        edges = zip([0, *cuts], [*cuts, len(arguments)], strict=True)
        for place, (start, stop) in enumerate(edges):
            tells = place == 0 or (named_again and not arguments[start:].startswith("{"))
            function = FunctionDelta(name if tells else None, arguments[start:stop])
            id = f"call_{number}" if with_ids and tells else None
            made.append(
                CallDelta(number if numbered else draw(st.sampled_from([None, 0])), id, None, function)
            )
    if numbered:  # then they may take turns
        order = draw(st.permutations([delta.index for delta in made]))
        queues = {number: iter([delta for delta in made if delta.index == number]) for number in range(3)}
        made = [next(queues[number or 0]) for number in order]
    return made


@given(deltas=deltas(), data=st.data())
def test_calls_are_the_same_however_they_arrive(deltas: list[CallDelta], data: st.DataObject) -> None:
    calls = Calls("seed")
    events: list[Event] = [ToolCalls(mended) for delta in deltas if (mended := calls.mended([delta]))]
    events += [ToolCalls(calls.end())]
    assert sorted(put_together(events).calls) == sorted(PARALLEL)


@given(texts=st.lists(texts, min_size=2, max_size=3), data=st.data())
def test_answers_do_not_mind_each_other(texts: list[str], data: st.DataObject) -> None:
    choices = [Choice(index, TOOLS, "seed") for index in range(len(texts))]
    queues = [pieces_of(text, data) for text in texts]
    events: list[Event] = []
    while any(queues):
        index = data.draw(st.sampled_from([index for index, queue in enumerate(queues) if queue]))
        choices[index].say(queues[index].pop(0), events)
    for choice in choices:
        choice.end(events)
    for index, text in enumerate(texts):
        mine = [event for event in events if getattr(event, "choice", None) == index]
        assert put_together(mine) == said([text])


def test_calls_that_nobody_named_are_none() -> None:
    calls = Calls("seed")
    assert (
        calls.mended([CallDelta(0), CallDelta(0, function=FunctionDelta(None, '{"a"')), CallDelta(1, "x")])
        == []
    )
    assert calls.end() == []
    assert not calls
