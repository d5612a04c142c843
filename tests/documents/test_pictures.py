"""Pictures: their size as they are shown, a small one of each, and none that takes more than it may."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.documents.extraction import Picture
from service.errors import DocumentRefused
from tests.documents import made
from tests.documents.conftest import Files, reading

ORIENTATION = 0x0112


def written(picture: Image.Image, format: str, **options: Any) -> bytes:
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


async def shown(files: Files, folder: Path, content: bytes) -> tuple[Picture, Image.Image]:
    original, thumbnail = folder / "original", folder / "thumbnail"
    original.write_bytes(content)
    picture = await files.extractor.picture(original, thumbnail)
    with Image.open(thumbnail) as small:
        small.load()
        return picture, small


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
async def test_formats(files: Files, tmp_path: Path, format: str) -> None:
    content = written(Image.new("RGB", (1000, 500), (200, 30, 30)), format)
    picture, small = await shown(files, tmp_path, content)
    assert picture == Picture(1000, 500, f"image/{format.lower()}")
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (400, 200))
    red, green, blue = small.getpixel((200, 100))  # type: ignore[misc]
    assert red > 150 and green < 80 and blue < 80


async def test_small_ones_are_not_made_bigger(files: Files, tmp_path: Path) -> None:
    picture, small = await shown(files, tmp_path, written(Image.new("RGB", (3, 2)), "PNG"))
    assert ((picture.width, picture.height), small.size) == ((3, 2), (3, 2))


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (1, 1)), (6, (1, 0)), (8, (0, 1))])
async def test_they_are_turned(
    files: Files, tmp_path: Path, orientation: int, corner: tuple[int, int]
) -> None:
    """The upper left corner is black; EXIF says where it belongs."""
    original = Image.new("RGB", (800, 400), "white")
    original.paste("black", (0, 0, 400, 200))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture, small = await shown(files, tmp_path, written(original, "JPEG", exif=exif))
    turned = orientation in (6, 8)
    assert (picture.width, picture.height) == ((400, 800) if turned else (800, 400))
    assert small.size == ((200, 400) if turned else (400, 200))
    found = [
        (x, y)
        for x in (0, 1)
        for y in (0, 1)
        if small.convert("L").getpixel((10 + x * (small.width - 20), 10 + y * (small.height - 20))) < 50  # type: ignore[operator]
    ]
    assert found == [corner]
    assert not small.getexif()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
async def test_transparency_is_white(files: Files, tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0)).convert(mode)
    options = {"transparency": 0} if mode == "P" else {}
    _, small = await shown(files, tmp_path, written(clear, "PNG", **options))
    assert small.getpixel((25, 25)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "CMYK", "P"])
async def test_colours_of_all_kinds(files: Files, tmp_path: Path, mode: str) -> None:
    picture, small = await shown(files, tmp_path, written(Image.new(mode, (500, 500)), "TIFF"))
    assert (picture.width, small.mode, small.size) == (500, "RGB", (400, 400))


async def test_of_one_that_moves_the_first_frame(files: Files, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    for format in ("GIF", "WEBP", "PNG"):
        content = written(frames[0], format, save_all=True, append_images=frames[1:])
        _, small = await shown(files, tmp_path, content)
        red, _, blue = small.getpixel((10, 10))  # type: ignore[misc]
        assert red > 200 and blue < 80


async def test_of_a_hundred_thousand_frames_the_first(files: Files, tmp_path: Path) -> None:
    picture, _ = await shown(files, tmp_path, made.gif(100_000))
    assert picture == Picture(1, 1, "image/gif")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"GIF89a",
        written(Image.new("RGB", (300, 300), "red"), "JPEG")[:300],
        written(Image.new("RGB", (300, 300), "red"), "PNG")[:60],
        made.png(100, 100, b"\0" * 10),
    ],
)
async def test_what_is_no_whole_picture(files: Files, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DocumentRefused, match="is damaged, or no picture that can be shown"):
        await shown(files, tmp_path, content)
    assert not (tmp_path / "thumbnail").exists()
    await shown(files, tmp_path, made.gif(1))


async def test_a_bomb(files: Files, tmp_path: Path) -> None:
    bomb = made.png(50_000, 50_000, bytes(1000))
    with pytest.raises(DocumentRefused, match=r"has 50000 x 50000 pixels, .* limit documents\.pixels"):
        await shown(files, tmp_path, bomb)


async def test_up_to_the_limit(tmp_path: Path) -> None:
    async with reading(tmp_path, pixels=10_000) as files:
        await shown(files, tmp_path, written(Image.new("L", (100, 100)), "PNG"))
        with pytest.raises(DocumentRefused):
            await shown(files, tmp_path, written(Image.new("L", (101, 100)), "PNG"))


async def test_one_that_takes_too_much_memory(tmp_path: Path) -> None:
    async with reading(tmp_path, memory=64 * 1024 * 1024) as files:
        row = bytes(1 + 5000 * 4)
        with pytest.raises(DocumentRefused, match=r"documents\.memory"):
            await shown(files, tmp_path, made.png(5000, 5000, row * 5000))
        await shown(files, tmp_path, made.gif(1))
