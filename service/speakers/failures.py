"""Why nothing is heard. Each kind says what to do; where `elsewhere` is true, another speaker may do better.

Unavailable
└── SpeakerError         503  speaker_failed
    ├── Unreachable      503  speaker_unreachable: no connection, or none in time
    ├── Refused          503  speaker_refused: it was reached, and will not (401, 403)
    ├── Overloaded       503  speaker_overloaded: not now (429, 503)
    │   └── Busy         503  speaker_busy: it speaks as many texts as we let it
    ├── CutOff           503  speaker_cut_off: it stopped in the middle
    ├── Mute             503  speaker_mute: it made no sound of this text
    └── Crashed          503  speaker_crashed: the engine's process died of this text
BadRequest
├── VoiceNotFound        400  voice_not_found
├── NothingToSay         400  nothing_to_say: no word in the text
└── FormatNotFound       400  format_not_found
"""

from collections.abc import Iterable

from service.errors import BadRequest, Unavailable


class SpeakerError(Unavailable):
    code = "speaker_failed"
    outage = True


class Unreachable(SpeakerError):
    code = "speaker_unreachable"


class Refused(SpeakerError):
    code = "speaker_refused"


class Overloaded(SpeakerError):
    """`retry_after` is in seconds, None where it is not known."""

    code = "speaker_overloaded"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(Overloaded):
    """That is our doing: it is in no trouble."""

    code = "speaker_busy"
    outage = False


class CutOff(SpeakerError):
    code = "speaker_cut_off"


class Mute(SpeakerError):
    """Of another text it may make some."""

    code = "speaker_mute"
    outage = False


class Crashed(SpeakerError):
    """It is this text that the engine dies of, not the engine that is ill."""

    code = "speaker_crashed"
    outage = False


class VoiceNotFound(BadRequest):
    code = "voice_not_found"

    def __init__(self, name: str, label: str, near: Iterable[str]) -> None:
        super().__init__(
            f"{label} has no voice {name[:80]!r}. Some that it has: {', '.join(near)};"
            " GET /v1/audio/voices lists all.",
            "voice",
        )


class NothingToSay(BadRequest):
    code = "nothing_to_say"

    def __init__(self, param: str = "text") -> None:
        super().__init__("There is nothing to say in this text: it has no letter and no digit.", param)


class FormatNotFound(BadRequest):
    code = "format_not_found"

    def __init__(self, name: str, allowed: Iterable[str]) -> None:
        super().__init__(
            f"There is no format {name[:40]!r} here. Choose one of {', '.join(allowed)}.", "format"
        )
