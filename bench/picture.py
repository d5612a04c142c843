"""The costs of a streamed token as a picture: `python bench/picture.py FILE.json > FILE.svg`."""

import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

from shown import number

WIDTH, NAMES, BAR, GAP, TITLE = 720, 150, 16, 6, 26
NAMED = {"nginx": "nginx", "ours v2": "Causerie", "g4f": "g4f", "LiteLLM": "LiteLLM"}
CHARTS = {
    ("paced200", "cost"): "CPU of a token, 200 streams, µs",
    ("short16", "cost"): "CPU of a stream of one token, µs",
    ("whole16", "cost"): "CPU of a request that is not streamed, µs",
}
# Readable on white and on black; the page's own colour where the reader's system says dark.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-weight: 600 }
rect { fill: #9aa4b2 } .ours { fill: #2f81f7 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


class Bar(NamedTuple):
    name: str
    value: float
    ours: bool


def picture(measures: list[dict[str, Any]]) -> str:
    """SVG: bars on a logarithmic scale, for the figures are two orders of magnitude apart."""
    pieces: list[str] = []
    top = 0
    for title, bars in charts(measures):
        pieces += chart(title, bars, top)
        top += TITLE + len(bars) * (BAR + GAP) + GAP
    style = f"<style>{STYLE}</style>"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
    )
    return "\n".join([head, style, *pieces, "</svg>\n"])


def charts(measures: list[dict[str, Any]]) -> list[tuple[str, list[Bar]]]:
    found = {}
    for measure in measures:
        details = measure["details"]
        which = (details.get("scenario"), details.get("kind"))
        if which in CHARTS and which not in found:
            found[which] = bars(details["figures"])
    return [(title, found[which]) for which, title in CHARTS.items() if which in found]


def bars(figures: dict[str, float]) -> list[Bar]:
    names = NAMED if "ours v2" in figures else {"ours v1": "Causerie", **NAMED}
    some = [
        Bar(said, figures[name], name.startswith("ours")) for name, said in names.items() if name in figures
    ]
    return sorted(some, key=lambda bar: bar.value)


def chart(title: str, bars: list[Bar], top: int) -> list[str]:
    least, most = bars[0].value / 2, bars[-1].value
    scale = (WIDTH - NAMES - 80) / math.log(most / least)
    pieces = [f'<text class="title" x="0" y="{top + 16}">{title}</text>']
    for place, bar in enumerate(bars):
        y, width = top + TITLE + place * (BAR + GAP), math.log(bar.value / least) * scale
        ours = ' class="ours"' if bar.ours else ""
        pieces += [
            f'<text x="{NAMES - 8}" y="{y + 13}" text-anchor="end">{bar.name}</text>',
            f'<rect{ours} x="{NAMES}" y="{y}" width="{width:.0f}" height="{BAR}" rx="2"/>',
            f'<text x="{NAMES + width + 6:.0f}" y="{y + 13}">{number(bar.value)}</text>',
        ]
    return pieces


if __name__ == "__main__":
    print(picture(json.loads(Path(sys.argv[1]).read_text())["measures"]), end="")
