"""Of which language a text is (py3langid), in a child: its model takes 0.7 s to load, and 120 MB."""

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from service.speakers import jobs
from service.speakers.child import work

LANGUAGES = (
    "af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it jv ka"
    " kk km kn lo lt lv mk ml mn mr ms mt my ne nl no pl ps pt ro ru si sk sl so sq sr sv sw ta te th tr uk"
    " ur uz vi zu"
)
"""Those that voices exist for: a short text is found too often to be of a rarer one."""
WIDESPREAD = ("de", "es", "fa", "fr", "id", "it", "nl", "pl", "pt", "sv", "tr", "uk")
LIKELY = {"en": 9.0, "ru": 9.0} | dict.fromkeys(WIDESPREAD, 6.0)
"""What many write is likely to be meant by few words; in the model's own unit, a logarithm."""
READ = 11.0
"""Of the first language that whoever asks reads; less, by a `STEP`, of each that follows."""
STEP = 3.0
NOTHING_KNOWN = -1e30
"""A score below it says that no part of the text was known."""


class Detector:
    def __init__(self) -> None:
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
        self._identifier.set_languages(LANGUAGES.split())

    def do(self, job: jobs.Job) -> jobs.Done:
        assert isinstance(job, jobs.Detect)
        read = {name: READ - STEP * place for place, name in enumerate(job.likely)}
        ranked = [
            (score + max(read.get(name, 0), LIKELY.get(name, 0)), name)
            for name, score in self._identifier.rank(job.text)
        ]
        score, name = max(ranked)
        return jobs.Done(language=name if score > NOTHING_KNOWN else "")


if __name__ == "__main__":
    work(Detector)
