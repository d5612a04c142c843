"""The answer as nothing but its text, for `GET create`."""

from collections.abc import Mapping

from service.events import Batch, Content, Event, Failed, Finished, Unauthorized


class CutOff(ConnectionResetError):
    """The answer is not complete, and plain text cannot say so: its connection is cut."""


class PlainText:
    """Thoughts are left out; a reason to finish other than "stop" is the last word, as in `[length]`."""

    content_type = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = {}
    heartbeat = b""

    def __init__(self) -> None:
        self._complete = True

    def encode(self, events: Batch, first: int) -> bytes:
        return "".join([self._text(event) for event in events]).encode()

    def aside(self, event: Event) -> bytes:
        """What has no place in a text: the reader was sent away before the end."""
        self._complete = False
        return b""

    def end(self) -> bytes:
        """Raises `CutOff`."""
        if not self._complete:
            raise CutOff
        return b""

    def _text(self, event: Event) -> str:
        if isinstance(event, Failed | Unauthorized):
            self._complete = False
        return said(event)


def said(event: Event) -> str:
    """What an event adds to the text; of pictures it is their addresses, a line each."""
    if isinstance(event, Content):
        return "".join(f"{url}\n" for url in event.urls) if event.urls else event.content
    if isinstance(event, Finished) and event.finish.reason != "stop":
        return f"[{event.finish.reason}]"
    return ""
