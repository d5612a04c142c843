"""MP3 as a row of frames (ISO 11172-3, 13818-3): what joins, cuts and times it without decoding it."""

from msgspec import Struct

HEADER = 4
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_1, LAYER_3, MONO = 3, 1, 3


class Header(Struct, frozen=True):
    """`size` in bytes, with the header; `samples` a channel."""

    size: int
    samples: int
    rate: int
    tag: int
    """Where Xing's tag stands, if this frame has one."""


class Frames:
    """Whole frames out of bytes that come cut anywhere; tags and what is no frame are left out.

    `seconds`: of all frames so far. Each piece that was encoded on its own begins with a frame that tells how
    long it is (Xing, Info): with it the first of several pieces would pass for the whole.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.samples = 0
        """Of each frame so far, a channel."""
        self._rest = b""
        self._skipped = 0

    def feed(self, data: bytes) -> list[bytes]:
        data = self._rest + data
        frames, at = [], min(self._skipped, len(data))
        self._skipped -= at
        while at + HEADER <= len(data):
            if header := parsed(data, at):
                if at + header.size > len(data):
                    break
                frame = data[at : at + header.size]
                at += header.size
                if not _is_tag(frame, header):
                    self.seconds += header.samples / header.rate
                    self.samples = header.samples
                    frames.append(frame)
            elif data.startswith(b"ID3", at):
                if at + 10 > len(data):
                    break
                size = 10 + _syncsafe(data[at + 6 : at + 10])
                self._skipped = max(0, at + size - len(data))
                at = min(at + size, len(data))
            else:
                at += 1
        self._rest = data[at:]
        return frames


def parsed(data: bytes, at: int = 0) -> Header | None:
    """The header of a frame of layer III with a bitrate; None where there is none."""
    word = int.from_bytes(data[at : at + HEADER], "big")
    version, layer, bitrate, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != LAYER_3 or bitrate in (0, 15) or rate == 3:
        return None
    full = version == MPEG_1
    samples, hertz = 1152 if full else 576, _RATES[version][rate]
    size = samples // 8 * _KBITS[full][bitrate - 1] * 1000 // hertz + (word >> 9 & 1)
    mono = (word >> 6 & 3) == MONO
    side = (17 if mono else 32) if full else (9 if mono else 17)
    return Header(size, samples, hertz, HEADER + side)


def _is_tag(frame: bytes, header: Header) -> bool:
    return frame[header.tag : header.tag + 4] in (b"Xing", b"Info") or frame[36:40] == b"VBRI"


def _syncsafe(size: bytes) -> int:
    """ID3v2, section 6.2: seven bits of each byte."""
    return sum(byte << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
