"""Writes which portraits work, with the limits that the settings have by default; the words are in tools/good_portrait.md."""

from __future__ import annotations

from pathlib import Path
from string import Template

from daemon.config.stage_settings import FaceStage
from stages.face.decode import FORMATS
from stages.face.measure import SMALL_OUTPUT_PX


def good_portrait() -> str:
    """Return the section "A good portrait" of docs/manifest.md, with today's limits."""
    limits = FaceStage()
    formats = [{"WEBP": "WebP"}.get(name, name) for name in FORMATS]
    return Template((Path(__file__).parent / "good_portrait.md").read_text(encoding="utf-8")).substitute(
        formats=f"{', '.join(formats[:-1])} or {formats[-1]}",
        small=SMALL_OUTPUT_PX,
        least=limits.min_face_px,
        yaw=f"{limits.max_yaw_deg:.0f}",
        tilt=f"{limits.max_tilt_deg:.0f}",
        pitch=f"{limits.max_pitch_deg:.0f}",
    )
