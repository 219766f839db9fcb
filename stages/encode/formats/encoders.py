"""The video encoders: one record each, with the options that follow from effort and quality in x264's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: What ffmpeg-python takes: the options' names without their hyphen.
Options = Mapping[str, object]


@dataclass(frozen=True)
class VideoEncoder:
    """A video encoder of ffmpeg.

    Attributes:
        name: ffmpeg's name; shown in the status.
        options: makes its options from an x264 preset and an x264 rate factor.
        has_quality: whether these two change anything.
        portrait_options: makes those for an animated portrait, where they are not `options`.
        takes_areas: whether it encodes some areas of the picture more finely than others.
        on_gpu: whether a GPU encodes.
    """

    name: str
    options: Callable[[str, int], Options]
    has_quality: bool = True
    portrait_options: Callable[[str, int], Options] | None = None
    takes_areas: bool = False
    on_gpu: bool = False

    def for_portrait(self, preset: str, crf: int) -> Options:
        """Return the options for an animated portrait."""
        return (self.portrait_options or self.options)(preset, crf)

    def arguments(self, preset: str, crf: int) -> tuple[str, ...]:
        """Return its options as they stand on a command line."""
        return tuple(word for name, value in self.options(preset, crf).items() for word in (f"-{name}", str(value)))


#: libvpx's `cpu-used` by x264 preset, and for all other presets.
_VP9_EFFORT, _VP9_USUAL = {"ultrafast": 8, "superfast": 8, "veryfast": 7, "medium": 5, "slow": 4}, 6
#: Added to x264's rate factor to get VP9's and x265's for about the same visible quality. x265's was measured on two animated
#: portraits, veryfast: SSIM equals that of x264 at 21 with +2 and +4, PSNR with +3 and +5. With +3 files are 0.7 times as large.
_VP9_CRF, _X265_CRF = 10, 3
#: The largest rate factor of x264 and x265. A negative one leaves x264 its own, which is 23.
_COARSEST = 51
#: What x264's presets do in vain: a head moves by fractions of a pixel, and its background not at all, so that a long search for
#: where a block came from finds little. Measured on animated portraits of 512, 720 and 1080 px: two thirds of the time, 0.1 dB
#: less PSNR and 0.0006 less SSIM, files a tenth larger.
_X264_LESS: dict[str, Options] = {"veryfast": {"x264-params": "subme=1:me=dia"}}
#: What else they do in vain for a portrait, which never cuts, fades or flickers: the search for cuts, fades and the number of
#: B-frames, blocks of 4 px, and three of ten frames of look-ahead, whose loss in quality the rate factor makes up. Measured like
#: the above: four fifths of the time; files, and PSNR and SSIM of the face, are the same within 1 %, 0.1 dB and 0.0006.
#: x264 gives chroma two steps less with its usual search and none with this one, which left small lids and lips grey.
_PORTRAIT: dict[str, str] = {
    "veryfast": "partitions=p8x8:scenecut=0:b-adapt=0:weightp=0:rc-lookahead=7:chroma-qp-offset=-2"
}
_PORTRAIT_CRF = -0.5
#: NVENC's preset by x264 preset, and for all other presets.
_NVENC_EFFORT, _NVENC_USUAL = (
    {"ultrafast": "p1", "superfast": "p2", "veryfast": "p4", "slow": "p6", "slower": "p7"},
    "p5",
)


def _x264_options(preset: str, crf: int) -> Options:
    return {"preset": preset, "crf": crf, **_X264_LESS.get(preset, {})}


def _x264_portrait_options(preset: str, crf: int) -> Options:
    usual = _x264_options(preset, crf)
    if preset not in _PORTRAIT:
        return usual
    return {**usual, "crf": max(crf + _PORTRAIT_CRF, 0), "x264-params": f"{usual['x264-params']}:{_PORTRAIT[preset]}"}


def _x265_options(preset: str, crf: int) -> Options:
    return {"preset": preset, "crf": min(crf + _X265_CRF, _COARSEST), "x265-params": "log-level=error"}


def _vp9_options(preset: str, crf: int) -> Options:
    return {
        "deadline": "realtime",
        "cpu-used": _VP9_EFFORT.get(preset, _VP9_USUAL),
        "row-mt": 1,
        "crf": crf + _VP9_CRF,
        "b:v": 0,
        "auto-alt-ref": 0,  # 1 would drop the alpha plane
    }


def _prores_options(preset: str, crf: int) -> Options:
    return {"profile:v": "4444", "vendor": "apl0"}  # editors expect Apple's own mark


def _nvenc_options(preset: str, crf: int) -> Options:
    # A constant quality on the scale of H.264's quantiser, as x264's rate factor is; 0 lets NVENC choose.
    return {"preset": _NVENC_EFFORT.get(preset, _NVENC_USUAL), "tune": "hq", "rc": "vbr", "cq": max(crf, 1), "b:v": 0}


X264 = VideoEncoder("libx264", _x264_options, portrait_options=_x264_portrait_options, takes_areas=True)
X265 = VideoEncoder("libx265", _x265_options, takes_areas=True)
VP9 = VideoEncoder("libvpx-vp9", _vp9_options)
PRORES = VideoEncoder("prores_ks", _prores_options, has_quality=False)
H264_NVENC = VideoEncoder("h264_nvenc", _nvenc_options, on_gpu=True)
HEVC_NVENC = VideoEncoder("hevc_nvenc", _nvenc_options, on_gpu=True)
