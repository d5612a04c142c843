"""Who speaks, as an operator writes it."""

import tomllib
from pathlib import Path

import pytest
from msgspec.structs import fields

from service.commands.settings import describe
from service.settings import Settings, SettingsError, SpeakerRow
from service.sources import load

ROW = '[[speakers]]\nname = "Studio"\nurl = "https://speech.example/v1/"\nkey = "STUDIO_KEY"\n'
CANARY = "sk-canary-0123456789"


def loaded(folder: Path, text: str, **variables: str) -> Settings:
    file = folder / "own.toml"
    file.write_text(text)
    return load({"CAUSERIE_CONFIG": str(file), **variables})


def test_a_row_is_read_with_its_key(tmp_path: Path) -> None:
    settings = loaded(tmp_path, ROW + 'voices = ["nova"]\nprice = 12', STUDIO_KEY=CANARY)
    (row,) = settings.speakers
    assert (row.name, row.url, row.voices, row.price) == (
        "Studio",
        "https://speech.example/v1",
        ("nova",),
        12.0,
    )
    assert settings.key(row) == CANARY
    assert CANARY not in repr(settings)


def test_the_example_in_default_toml_is_a_whole_row(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "config/default.toml").read_text("utf-8")
    _, start, rest = text.partition("# [[speakers]]")
    example = (start + rest.partition("\n#\n")[0]).replace("\n# ", "\n").removeprefix("# ")
    assert tomllib.loads(example)["speakers"][0].keys() == {field.name for field in fields(SpeakerRow)}
    assert loaded(tmp_path, example).speakers[0].languages == ("en", "de")


def test_what_would_run_is_told_without_the_key(tmp_path: Path) -> None:
    told = describe(loaded(tmp_path, 'speech.order = ["Studio", "local"]\n' + ROW, STUDIO_KEY=CANARY))
    assert CANARY not in told
    written = tomllib.loads(told)
    assert written["speech"]["order"] == ["Studio", "local"]
    assert written["speakers"] == [
        {"name": "Studio", "url": "https://speech.example/v1", "key": "STUDIO_KEY"}
    ]
    assert 'key = "STUDIO_KEY"  # set' in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'speech.order = ["edge", "nobody"]',
            "1: speech.order: there is no speaker nobody, but there are edge,",
        ),
        (ROW + ROW, "6: the name Studio is taken"),
        (ROW.replace("Studio", "local", 1), "2: the name local is taken"),
        ('[[speakers]]\nname = "A"', "1: this speaker has no url; give it one."),
        (ROW.replace('key = "STUDIO_KEY"', ""), "give this speaker the name of its key's variable, or local"),
        (ROW + "price = -1", "speakers.price must be a number of US dollars, 0 or more, not -1."),
        (ROW + "voice = 1", "speakers.voice is not a setting. Did you mean speakers.voices?"),
        (ROW.replace("https://speech.example/v1/", "https://:0/"), "speakers.url"),
        ("speakers = 1", "speakers must be tables, each written as [[speakers]]."),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        loaded(tmp_path, text)
    assert message in str(raised.value)


def test_no_setting_of_order_is_an_empty_one(tmp_path: Path) -> None:
    assert loaded(tmp_path, "speech.order = []").speech.order == ()
    assert load({"CAUSERIE_SPEECH_ORDER": "local"}).speech.order == ("local",)
