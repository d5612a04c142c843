"""What is said in the place of what cannot be read aloud, by language."""

from msgspec import Struct

from service.speakers.speaker import primary


class Phrases(Struct, frozen=True):
    """`{}` stands for what is known of it."""

    code: str
    code_in: str
    link: str
    image: str
    image_of: str
    formula: str


PHRASES = {
    "en": Phrases("Code block", "Code block in {}", "link to {}", "image", "image: {}", "formula"),
    "ru": Phrases("Блок кода", "Блок кода, {}", "ссылка на {}", "изображение", "изображение: {}", "формула"),
    "de": Phrases("Codeblock", "Codeblock in {}", "Link zu {}", "Bild", "Bild: {}", "Formel"),
    "es": Phrases(
        "Bloque de código", "Bloque de código en {}", "enlace a {}", "imagen", "imagen: {}", "fórmula"
    ),
    "fr": Phrases("Bloc de code", "Bloc de code en {}", "lien vers {}", "image", "image : {}", "formule"),
    "it": Phrases(
        "Blocco di codice",
        "Blocco di codice in {}",
        "collegamento a {}",
        "immagine",
        "immagine: {}",
        "formula",
    ),
}
OTHERWISE = Phrases("", "", "{}", "", "{}", "")
"""In other languages: better nothing than English words in the midst."""


def phrases(language: str) -> Phrases:
    return PHRASES.get(primary(language), OTHERWISE)
