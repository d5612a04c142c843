"""Modules of the page that can be asked by themselves, in the browser that runs them."""

import pytest

from tests.web.visit import Visit

pytestmark = pytest.mark.slow

SHAPES = """async () => {
    const { messages } = await import("/web/messages.js");
    const names = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort();
    const shape = (said) => typeof said === "string" ? names(said) : said.length ?? names(said.other);
    return Object.values(messages).map((all) => Object.keys(all).map((key) => [key, shape(all[key])]));
}"""


async def test_both_languages_say_the_same_things(visit: Visit) -> None:
    english, russian = await visit.page.evaluate(SHAPES)
    assert english == russian


STREAM = (
    ': ping\r\n\r\nid: 0f-1\nevent: a\ndata: {"x":\ndata: "Да"}\n\n'
    "data:no blank\r\rid:0f-2\r\ndata: 2\r\n\r\n\nid: 0f-3\ndata: lost"
)
READ = """async (text) => {
    const { parser } = await import("/web/stream.js");
    const read = (pieces) => pieces.flatMap(parser()).map(({ id, data }) => [id, data]);
    const cuts = [...text].map((_, cut) => [text.slice(0, cut), text.slice(cut)]);
    return [[...text], ...cuts].map(read);
}"""


async def test_the_parser_survives_every_split(visit: Visit) -> None:
    expected = [["0f-1", '{"x":\n"Да"}'], ["0f-1", "no blank"], ["0f-2", "2"]]
    assert await visit.page.evaluate(READ, STREAM) == [expected] * (len(STREAM) + 1)


async def test_parts_of_a_long_answer_are_those_of_the_whole(visit: Visit) -> None:
    parts = await visit.page.evaluate(
        """async () => {
            const { boundary } = await import("/web/sections.js");
            const code = "```\\n" + "x\\n\\n".repeat(4_000) + "```\\n\\n";
            const list = "- one\\n\\n- two\\n\\n";
            const text = "Words.\\n\\n" + code + list + "After.\\n\\n" + "More.\\n\\n".repeat(3_000);
            const parts = [];
            for (let from = 0; from < text.length; ) {
                const end = boundary(text, from);
                parts.push(text.slice(from, end));
                from = end;
            }
            return { isWhole: parts.join("") === text, first: parts[0].slice(-20), count: parts.length };
        }"""
    )
    assert parts["isWhole"] and parts["count"] > 2
    assert parts["first"].endswith("- one\n\n- two\n\n")
