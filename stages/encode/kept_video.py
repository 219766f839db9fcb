"""Takes over the video, and its first frame, of the job that a job is based on, where all that they follow from is the same.

Captions in a file of their own do not touch the video. Captions that are drawn into it do: such a video is taken over only with
the same captions, and never gets others, since its picture would have to be encoded a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.jobs.record import DRAWN
from daemon.jobs.stages import BY_NAME
from daemon.system import fs
from stages.context import Context, Facts
from stages.kept import UNCHANGED, Kept, code_digest, content_key, digests, read_kept, write_kept

#: Artifacts of earlier stages from which the frames are drawn.
_READ = (
    "speech.wav", "portrait.png", "face.json", "background.png", "motion.npz", "mouth.npz", "mouth.raw",
)  # fmt: skip
#: Keys of the manifest that say nothing of the video: what is in the picture, and captions.
_NOT_SEEN = frozenset({"image", "captions"})
_RECORD = "record.json"


class KeptVideo:
    """The files that a job keeps of its video, in the folder `DRAWN`.

    Args:
        tags: metadata of the video.
        burned: whether captions are drawn into it.
    """

    def __init__(self, ctx: Context, tags: Mapping[str, str], burned: bool) -> None:
        self._ctx = ctx
        self._folder = ctx.path(DRAWN)
        given = ctx.manifest.model_dump(mode="json")
        keys = ({*BY_NAME["encode"].uses, *BY_NAME["face"].uses}) - _NOT_SEEN
        settings = ctx.settings.stages
        self._content = {
            "keys": {key: given[key] for key in keys},
            "tags": dict(tags),
            "burned": burned,
            "settings": [part.model_dump(mode="json") for part in (settings.encode, settings.face)],
        }

    def take_over(self) -> Facts | None:
        """Put the video that was kept where a new one would be. Returns its facts; None where it has to be drawn.

        What was made from something else, or is damaged, is removed.
        """
        ctx = self._ctx
        if not self._folder.exists():
            return None
        kept = read_kept(self._folder / _RECORD, self._key())
        if kept is None:
            fs.remove(self._folder)
            return None
        for name in kept.files:
            with fs.artifact(ctx.path(name)) as temporary:
                fs.link_path(self._folder / name, temporary)
        ctx.warnings.extend(kept.warnings)
        return {**kept.facts, "why": UNCHANGED, "taken_over": True}

    def keep(self, names: Sequence[str], facts: Facts, warnings: Sequence[str]) -> None:
        """Keep files under a second name, for `take_over` in a later job.

        Args:
            names: of the files in the job's folder.
            facts: of the video.
            warnings: what is to be told again.
        """
        fs.remove(self._folder)
        self._folder.mkdir()
        for name in names:
            fs.link_path(self._ctx.path(name), self._folder / name)
        write_kept(self._folder / _RECORD, self._key(), Kept(dict(facts), list(warnings), tuple(names)))

    def _key(self) -> str:
        """Return a digest of all that the video follows from."""
        read = (*_READ, "timing.json") if self._content["burned"] else _READ
        code = code_digest("encode", "face", "lipsync", "media", "musetalk")  # the last pastes painted mouths
        return content_key({**self._content, "files": digests(self._ctx.job_dir, read), "code": code})
