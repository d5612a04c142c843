"""What events come to where another protocol has no word for them."""

from urllib.parse import quote

from service.errors import ServiceError, named
from service.events import Content, Extra, Failed, Finish, Source, Sources, Unauthorized

EARLY = frozenset({"stopped", "abandoned", "interrupted", "timeout"})


def reason(finish: Finish) -> str:
    """Why an answer is over, as OpenAI says it.

    It has no word for an answer that somebody else than the model ended, and typed clients fail on any other
    than its own five. "length" is the one of them by which every client knows an answer as cut off: none
    takes half a JSON object for a whole one, as it would after "stop".
    """
    return "length" if finish.reason in EARLY else finish.reason


def shown(content: Content) -> str:
    """The text of an answer; pictures as Markdown, for their own text is HTML."""
    if not content.urls:
        return content.content
    return "\n".join(f"![{content.alt or ''}]({url})" for url in content.urls)


def cited(event: Sources) -> Extra:
    """Passages of documents, as a message of OpenAI's cites web pages: it knows no files.

    Nobody knows where in the answer's text they belong.
    Source: OpenAI's API reference, "The chat completion object", `annotations`.
    """
    pages = [
        {"url": _address(source), "title": source.place, "start_index": 0, "end_index": 0}
        for source in event.sources
    ]
    return Extra({"annotations": [{"type": "url_citation", "url_citation": page} for page in pages]})


def _address(source: Source) -> str:
    """Where the file is handed out; browsers open a PDF at that page."""
    page = "" if source.page is None else f"#page={source.page}"
    return f"/files/{quote(source.bucket, safe='')}/media/{quote(source.file, safe='')}{page}"


def raised(event: Failed | Unauthorized) -> ServiceError:
    """The error that ended the turn."""
    if isinstance(event, Failed):
        return named(event.error, event.message, event.retry_after)
    return named(event.auth, event.message)
