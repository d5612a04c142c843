"""Of which language a text is: by its letters, its words, or the model in a child."""

import os
import signal
from collections.abc import AsyncGenerator

import pytest

from service.speakers.language import Languages, by_script, by_words, script_of
from service.tasks import Tasks

TEXTS = {
    "en": "Good morning, did you sleep well?",
    "ru": "Доброе утро, хорошо спалось?",
    "uk": "Добрий ранок, як спалося?",
    "bg": "Добро утро, добре ли спахте тази нощ в новото легло?",
    "de": "Guten Morgen, gut geschlafen?",
    "es": "Buenos días, ¿ha dormido bien?",
    "fr": "Bonjour, avez-vous bien dormi ?",
    "it": "Buongiorno, ha dormito bene?",
    "pt": "Bom dia, você dormiu bem esta noite?",
    "pl": "Dzień dobry, czy dobrze się spało?",
    "sv": "God morgon, har du sovit gott?",
    "tr": "Günaydın, iyi uyudunuz mu?",
    "vi": "Chào buổi sáng, bạn ngủ ngon không?",
    "ja": "おはようございます。よく眠れましたか？",
    "zh": "早上好，你睡得好吗？",
    "ko": "안녕하세요, 잘 주무셨어요?",
    "el": "Καλημέρα, κοιμήθηκες καλά;",
    "he": "בוקר טוב, ישנת טוב?",
    "ar": "صباح الخير، هل نمت جيدا؟",
    "hi": "सुप्रभात, क्या आप अच्छी तरह सोए?",
    "th": "อรุณสวัสดิ์ คุณหลับสบายไหม",
}


@pytest.fixture
async def languages(tasks: Tasks) -> AsyncGenerator[Languages, None]:
    languages = Languages()
    languages.open(tasks)
    yield languages
    await languages.close()


async def test_each_is_told(languages: Languages) -> None:
    assert {name: await languages.of(text) for name, text in TEXTS.items()} == {name: name for name in TEXTS}


async def test_a_few_words_are_of_a_language_that_many_speak(languages: Languages) -> None:
    for text in ("Hello", "Yes", "OK, done.", "What?", "Python", "1234", "", "print('hello')"):
        assert await languages.of(text) == "en", text
    for text in ("Привет", "Да", "Спасибо"):
        assert await languages.of(text) == "ru", text


async def test_a_few_words_may_be_of_a_language_that_is_read(languages: Languages) -> None:
    """They decide what is too short, and nothing else."""
    for text, languages_read, told in (
        ("Hallo", ["de", "en"], "de"),
        ("Gut", ["de"], "de"),
        ("Takk", ["nb", "en"], "nb"),
        ("Tak", ["pl"], "pl"),
        ("Merci", ["fr", "en"], "fr"),
        ("Paris", ["ru", "fr", "de"], "fr"),
        ("Hello", ["ru", "ja"], "en"),
        ("Да", ["de", "bg"], "bg"),
        ("1234", ["de"], "en"),
    ):
        assert await languages.of(text, languages_read) == told, text
    for text in ("Nice to meet you", "Good morning, did you sleep well?"):
        for read in ("zu", "de", "ru", "nl"):
            assert await languages.of(text, [read]) == "en", (text, read)
    assert {name: await languages.of(text, ["sw", "ca"]) for name, text in TEXTS.items()} == {
        name: name for name in TEXTS
    }


async def test_most_texts_need_no_child(languages: Languages) -> None:
    assert await languages.of("This is what you can do with it, and that is all there is.") == "en"
    assert await languages.of("Das ist nicht das, was ich mit der Frage gemeint habe.") == "de"
    assert await languages.of("Я не знаю, что это и как с этим быть.") == "ru"
    assert await languages.of("こんにちは") == "ja"
    assert languages._workers.pids == []


async def test_a_dead_child_costs_a_guess(languages: Languages) -> None:
    assert await languages.of(TEXTS["tr"]) == "tr"
    languages._workers._deadline = 0.5
    (pid,) = languages._workers.pids
    os.kill(pid, signal.SIGSTOP)
    assert await languages.of("Доброї ночі, як спалося?") == "uk"
    languages._workers._deadline = 20
    assert await languages.of(TEXTS["tr"]) == "tr"


def test_words_that_tell_nothing() -> None:
    assert by_words("a o la") == ""
    assert script_of("123 …") == ""
    assert [by_script("", script) for script in ("cyrillic", "arabic", "latin")] == ["ru", "ar", "en"]
