"""Speech for the scores: languages and voices that are not in the training, and real English where it can be had."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stages.encode.evaluation import alignment, sound
from stages.encode.evaluation.phones import Phone
from tools.train_visemes import espeak
from tools.train_visemes.corpus import HELD_OUT_FLITE
from tools.train_visemes.espeak import Voice
from tools.train_visemes.flite import Flite
from tools.train_visemes.scores import arpabet_phones
from tools.train_visemes.signal import Signal

_VARIANTS = ("f2", "m7")
_ENGLISH = (
    "When the train left the station, a tall man opened his paper and read the news. Outside, the hills were green and "
    "quiet. He thought of his garden, and of the apples that he had promised to bring."
)
_SENTENCES = {
    "en-us": _ENGLISH,
    "cmn": "今天早上我们去了公园，看见很多孩子在湖边玩。天气非常好，大家都很高兴。中午我们在一家小饭馆吃了面条。",
    "hi": "आज सुबह हम पार्क गए और झील के पास बहुत से बच्चों को खेलते देखा। मौसम बहुत अच्छा था और सब लोग खुश थे।",
    "ja": "きょうのあさ、わたしたちはこうえんにいって、みずうみのそばであそぶ"
    "こどもたちをたくさんみました。てんきがよくて、みんなよろこんでいました。",
    "ko": "오늘 아침에 우리는 공원에 가서 호수 옆에서 노는 아이들을 많이 보았습니다. "
    "날씨가 아주 좋아서 모두 기뻐했습니다.",
    "pl": "Wczoraj rano poszliśmy do parku i zobaczyliśmy wiele dzieci nad jeziorem. "
    "Pogoda była piękna, więc zostaliśmy.",
    "tr": "Bu sabah parka gittik ve göl kenarında oynayan birçok çocuk gördük. Hava çok güzeldi, herkes mutluydu.",
}
_LIBRIVOX = "pocketsphinx-testdata"
_CLIPS = "usr/share/pocketsphinx/test/data/librivox"

Spoken = tuple[str, Signal, list[Phone]]


def synthetic(flite: Flite) -> Iterator[Spoken]:
    """Name, signal and phones; the synthesisers tell the times."""
    for language, text in _SENTENCES.items():
        for variant in _VARIANTS:
            voice = Voice(language, variant)
            signal, sounds = espeak.speak(text, voice)
            yield voice.name, signal, arpabet_phones(sounds)
    signal, sounds = flite.speak(_ENGLISH, HELD_OUT_FLITE, 1.0)
    yield f"flite {HELD_OUT_FLITE}", signal, arpabet_phones(sounds)


def librivox(downloads: Path) -> Iterator[Spoken]:
    """Five clips of one reader out of a Debian package, aligned by pocketsphinx; it is only listened to.

    Raises stages.encode.evaluation.errors.EvaluationError without pocketsphinx.
    """
    if not list(downloads.glob(f"{_LIBRIVOX}_*.deb")):
        subprocess.run(["apt-get", "download", _LIBRIVOX], cwd=downloads, check=True)
    (package,) = downloads.glob(f"{_LIBRIVOX}_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(downloads / "root")], check=True)
    clips = downloads / "root" / _CLIPS
    for line in (clips / "transcription").read_text().splitlines():
        found = re.fullmatch(r"<s>(.*)</s> \((.*)\)", line.strip())
        if found:
            speech = sound.load(clips / f"{found[2]}.wav")
            yield f"LibriVox {found[2][-4:]}", speech, alignment.align(speech, found[1])
