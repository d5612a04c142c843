"""The voice that edge has for a language, as far as it is known without asking: the first is the default."""

from service.speakers.speaker import Voice

NAME = "edge"
_FEMALE = """
en-US-EmmaMultilingualNeural en-GB-SoniaNeural en-AU-NatashaNeural en-CA-ClaraNeural en-IN-NeerjaNeural
en-IE-EmilyNeural de-DE-KatjaNeural de-AT-IngridNeural de-CH-LeniNeural es-ES-ElviraNeural es-MX-DaliaNeural
fr-FR-DeniseNeural fr-CA-SylvieNeural it-IT-ElsaNeural ru-RU-SvetlanaNeural uk-UA-PolinaNeural
pt-BR-FranciscaNeural pt-PT-RaquelNeural nl-NL-ColetteNeural pl-PL-ZofiaNeural cs-CZ-VlastaNeural
sk-SK-ViktoriaNeural hu-HU-NoemiNeural ro-RO-AlinaNeural bg-BG-KalinaNeural sr-RS-SophieNeural
hr-HR-GabrijelaNeural sl-SI-PetraNeural mk-MK-MarijaNeural bs-BA-VesnaNeural sq-AL-AnilaNeural
el-GR-AthinaNeural tr-TR-EmelNeural sv-SE-SofieNeural nb-NO-PernilleNeural da-DK-ChristelNeural
fi-FI-NooraNeural is-IS-GudrunNeural et-EE-AnuNeural lv-LV-EveritaNeural lt-LT-OnaNeural ca-ES-JoanaNeural
gl-ES-SabelaNeural ga-IE-OrlaNeural cy-GB-NiaNeural mt-MT-GraceNeural he-IL-HilaNeural ar-EG-SalmaNeural
ar-SA-ZariyahNeural fa-IR-DilaraNeural ur-PK-UzmaNeural ps-AF-LatifaNeural hi-IN-SwaraNeural
bn-BD-NabanitaNeural bn-IN-TanishaaNeural gu-IN-DhwaniNeural mr-IN-AarohiNeural ta-IN-PallaviNeural
te-IN-ShrutiNeural kn-IN-SapnaNeural ml-IN-SobhanaNeural si-LK-ThiliniNeural ne-NP-HemkalaNeural
zh-CN-XiaoxiaoNeural zh-TW-HsiaoChenNeural zh-HK-HiuMaanNeural ja-JP-NanamiNeural ko-KR-SunHiNeural
vi-VN-HoaiMyNeural th-TH-PremwadeeNeural id-ID-GadisNeural ms-MY-YasminNeural jv-ID-SitiNeural
fil-PH-BlessicaNeural km-KH-SreymomNeural lo-LA-KeomanyNeural my-MM-NilarNeural ka-GE-EkaNeural
az-AZ-BanuNeural kk-KZ-AigulNeural uz-UZ-MadinaNeural mn-MN-YesuiNeural af-ZA-AdriNeural
sw-KE-ZuriNeural am-ET-MekdesNeural so-SO-UbaxNeural zu-ZA-ThandoNeural
"""


def voice_named(name: str, gender: str = "", label: str = "", language: str = "") -> Voice:
    """`ru-RU-SvetlanaNeural`, whose language stands in its name, as a voice."""
    kind = {"Female": "female", "Male": "male"}.get(gender, "")
    spoken = language or "-".join(name.split("-")[:2])
    return Voice(name, spoken, kind, NAME, label or name)  # type: ignore[arg-type]


KNOWN = tuple(voice_named(name, "Female") for name in _FEMALE.split())
