"""What the scripted upstream was asked, and what it bills for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from typing import Any

Json = dict[str, Any]


@dataclass
class Request:
    """What was asked, and what became of it; names of headers in lower case, times on the loop's clock."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    query: str = ""
    target: str = ""  # as the first line has it: a proxy is asked for whole addresses
    aborted_at: float | None = None  # the client left before the end
    prompt_tokens: int = 0  # what is billed: nothing where nothing was generated
    completion_tokens: int = 0

    def charge(self, completion_tokens: int = 0) -> None:
        self.prompt_tokens = self.words
        self.completion_tokens += completion_tokens

    @property
    def words(self) -> int:
        """Those of the prompt, whatever the path calls it."""
        body = self.body or {}
        names = ("system", "messages", "prompt", "input")
        return sum(len(_text(body.get(name)).split()) for name in names)


def read(headers: Mapping[str, str], body: bytes) -> Any:
    """JSON as it is; of a form its fields with all they hold: texts, and files with name, type and bytes."""
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return json.loads(body or b"null")
    whole = BytesParser(policy=policy.HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields: Json = {}
    for part in whole.iter_parts():
        content, file = bytes(part.get_payload(decode=True)), part.get_filename()
        said = (file, part.get_content_type(), content) if file else content.decode()
        fields.setdefault(str(part.get_param("name", header="content-disposition")), []).append(said)
    return fields


def _text(said: Any) -> str:
    """All texts in a message, a part, or a list of them."""
    match said:
        case str():
            return said
        case list():
            return " ".join(map(_text, said))
        case {"text": str(text)}:
            return text
        case {"content": content}:
            return _text(content)
        case _:
            return ""
