"""E-mails: who wrote what to whom, and what is attached."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart

from service.documents.plain import decoded
from service.documents.protocol import Page
from service.documents.reading import Reading, Unreadable
from service.documents.web_pages import markdown

HEADERS = ("Subject", "From", "To", "Cc", "Date")
FAULTS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What the standard library raises where a message is not what it should be."""


def letter(data: bytes) -> EmailMessage:
    """Raises `Unreadable`."""
    try:
        return message_from_bytes(data, policy=policy.default)
    except FAULTS:
        raise Unreadable("is damaged: it is no whole e-mail") from None


def text(message: EmailMessage, reading: Reading) -> Iterator[Page]:
    """Its headers and its text; of two versions of that, the plain one."""
    headers = {name: _header(message, name) for name in HEADERS}
    reading.tell(title=headers["Subject"], author=headers["From"], created=headers["Date"])
    told = "".join(f"{name}: {value}\n" for name, value in headers.items() if value)
    yield from reading.page(f"{told}\n{_body(message, reading)}", title=headers["Subject"])


def attached(message: EmailMessage) -> list[tuple[str, bytes]]:
    """Names and bytes of what is attached; other e-mails are too."""
    try:
        return [_attachment(part) for part in message.iter_attachments()]
    except FAULTS:
        return []


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message[name] or "").split())
    except FAULTS:
        return ""


def _body(message: EmailMessage, reading: Reading) -> str:
    try:
        body = message.get_body(("plain", "html"))
        written = _written(body) if body else ""
    except FAULTS:
        raise Unreadable("is damaged: its text cannot be decoded") from None
    return markdown(written, reading) if body and body.get_content_subtype() == "html" else written


def _written(body: MIMEPart) -> str:
    """As it says that it is written, unless nobody knows that encoding."""
    try:
        return str(body.get_content())
    except LookupError:
        payload = body.get_payload(decode=True)
        return "".join(decoded(payload)) if isinstance(payload, bytes) else ""


def _attachment(part: MIMEPart) -> tuple[str, bytes]:
    name = part.get_filename() or "attachment"
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0)
        return f"{name}.eml", inner.as_bytes() if isinstance(inner, EmailMessage) else b""
    payload = part.get_payload(decode=True)
    return name, payload if isinstance(payload, bytes) else b""
