"""Pictures, with Pillow, in a process of its own."""

import io
import struct
import warnings
import zlib
from pathlib import Path

from PIL import Image, ImageOps

from service.documents.protocol import Shown
from service.documents.reading import Refusal

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""Others that Pillow knows are nothing a browser shows, and some of them are programs."""
THUMBNAIL = (400, 400)
QUALITY = 85
TURNED = (5, 6, 7, 8)
"""Orientations whose width is their height: EXIF 2.32, 4.6.4."""
ORIENTATION = 0x0112
FAULTS = (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error)
"""What Pillow raises where a picture is damaged."""


def shown(path: Path, pixels: int) -> Shown:
    """The picture's size and a thumbnail of it, on white; of one that moves, of its first frame."""
    Image.MAX_IMAGE_PIXELS = None  # `pixels` is held against it here
    warnings.simplefilter("ignore")
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > pixels:
                raise Refusal(
                    f"has {width} x {height} pixels, more than {pixels}, the limit documents.pixels"
                )
            if picture.getexif().get(ORIENTATION) in TURNED:
                width, height = height, width
            media_type = Image.MIME[picture.format if picture.format in FORMATS else "JPEG"]
            return Shown(width, height, media_type, _thumbnail(picture))
    except FAULTS:
        raise Refusal("is damaged, or no picture that can be shown") from None


def _thumbnail(picture: Image.Image) -> bytes:
    picture.draft("RGB", THUMBNAIL)  # a JPEG need not be decoded in its full size
    orientation = picture.getexif()
    picture.thumbnail(THUMBNAIL)
    small = ImageOps.exif_transpose(picture) if orientation else picture
    written = io.BytesIO()
    _on_white(small).save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def _on_white(picture: Image.Image) -> Image.Image:
    """Without transparency, which a JPEG has not."""
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return picture.convert("RGB")
