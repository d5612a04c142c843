"""docs/performance.md and its picture, written anew: `python bench/document.py FILE.json`."""

import json
import sys
from pathlib import Path
from typing import Any

from picture import picture
from processes import ROOT
from rows import Table

DOCUMENT = ROOT / "docs/performance.md"
PICTURE = ROOT / "docs/performance.svg"


def write_document(report: dict[str, Any]) -> None:
    """Puts the tables of a whole run between the marks, and draws the picture."""
    comparison, *grown = [Table(*some).text() for some in report["tables"]]
    found = {"measured": measured(report), "comparison": comparison, "growth": "\n\n".join(grown)}
    text = DOCUMENT.read_text()
    for name, new in found.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        text = before + mark + new + "\n" + rest[rest.index("<!-- end -->") :]
    DOCUMENT.write_text(text)
    PICTURE.write_text(picture(report["measures"]))


def measured(report: dict[str, Any]) -> str:
    machine, versions = report["machine"], report["versions"]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Measured on {report['date'][:10]}: {machine['cores']} cores of {machine['processor']},"
        f" {machine['system']}, {report['rounds']} rounds; {named}."
    )


if __name__ == "__main__":
    write_document(json.loads(Path(sys.argv[1]).read_text()))
