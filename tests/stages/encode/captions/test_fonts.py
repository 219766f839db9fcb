"""Burned captions: the font has the letters, or the person is told."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fontTools.ttLib import TTCollection, TTFont

from daemon.system.installation import how_to_install_extra
from stages.encode.captions import fonts
from stages.encode.captions.fonts import choose_font
from stages.encode.video import write_video
from tests.support.stages.sound_jobs import Stripes, beep_job, ffmpeg

pytestmark = pytest.mark.usefixtures("models")

_ZHPLOT = importlib.util.find_spec("zhplot")  # imported, it would import all of matplotlib
assert _ZHPLOT is not None
NOTO = Path(str(_ZHPLOT.origin)).parent / "fonts" / "NotoSansSC-Regular.ttf"


def burned(folder: Path, text: str, language: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """A frame with a caption burned in, and the warnings."""
    ctx = beep_job(folder, captions="burn")
    timing = json.loads(ctx.path("timing.json").read_text())
    timing |= {"language": language, "words": [{"text": text, "start": 0.0, "end": 1.0, "sentence": 0}]}
    ctx.path("timing.json").write_text(json.dumps(timing))
    write_video(ctx, Stripes(ctx, 320, 240))
    shown = folder / "frame.png"
    ffmpeg("-ss", "0.5", "-i", str(ctx.path("video.mp4")), "-frames:v", "1", str(shown))
    picture = cv2.imread(str(shown))
    assert picture is not None
    return picture.astype(np.int64), ctx.warnings


def without_packages(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Only DejaVu Sans, and the system's fonts in a folder."""
    monkeypatch.setattr(fonts, "_CHINESE", ("no_such_package", "a.ttf"))
    monkeypatch.setattr(fonts, "_JAPANESE", ("no_such_package", "b.ttf"))
    monkeypatch.setattr(fonts, "SYSTEM_FOLDERS", (folder,))


@pytest.mark.parametrize(
    ("texts", "language"),
    [(("你好世界", "春夏秋冬"), "zh"), (("こんにちは", "さようなら"), "ja"), (("東京駅前", "国語辞典"), "ja")],
)
def test_chinese_and_japanese_have_shapes(tmp_path: Path, texts: tuple[str, str], language: str) -> None:
    # Given two captions of the same length: boxes in place of their letters would look alike
    (one, warned), (other, _) = (burned(tmp_path / text, text, language) for text in texts)
    # Then they look different, and nobody is warned
    assert (np.abs(one - other).max(axis=2) > 60).sum() > 100
    assert warned == []


def test_letters_without_shapes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a machine without fonts for Chinese
    without_packages(monkeypatch, tmp_path / "fonts")
    # Then the video is made, and the warning names the letters and what to do
    _, (warning,) = burned(tmp_path / "job", "你好, hello", "zh")
    assert "Chinese letters 你好" in warning
    assert how_to_install_extra("fonts") in warning
    # And where the system has a font with the letters, broken ones beside it, that one is taken
    (tmp_path / "fonts" / "noto").mkdir(parents=True)
    (tmp_path / "fonts" / "Broken-Regular.ttf").write_bytes(b"no font")
    (tmp_path / "fonts" / "noto" / "Some.ttf").symlink_to(NOTO)
    font, warning = choose_font("你好, hello", "zh")
    assert (font.family, warning) == ("Noto Sans SC", "")


def test_of_a_collection_the_face_of_the_language_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given only a collection of the system's, with faces for Japanese and for Chinese readers
    without_packages(monkeypatch, tmp_path)
    faces = TTCollection()
    for name in ("Some JP", "Some SC", "Some TC"):
        face = TTFont(NOTO)
        for entry in face["name"].names:
            if entry.nameID == 1:
                entry.string = name
        faces.fonts.append(face)
    faces.save(str(tmp_path / "Some.ttc"))
    # Then each reader gets the shapes that are theirs
    families = [choose_font("直感", language)[0].family for language in ("ja", "zh-CN", "zh-Hant-TW")]
    assert families == ["Some JP", "Some SC", "Some TC"]


def test_each_language_has_its_own_shapes_of_han_and_latin_keeps_its_font() -> None:
    assert choose_font("直感の骨", "ja")[0].family == "IPAexGothic"
    assert choose_font("直感的骨", "zh-CN")[0].family == "Noto Sans SC"
    assert choose_font("Ça va ? Привет – “ok”", "fr")[0].family == "DejaVu Sans"
