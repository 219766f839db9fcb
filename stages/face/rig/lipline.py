"""Finds the lips' inner edges: the two curves along which the portrait is cut when the mouth opens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.slight_gap import find_slight_gap
from stages.face.sampling import blur, sample

#: Points of a curve, corner to corner.
SAMPLES = 81
#: Below this inner gap (in mouth widths) the picture's mouth is closed, and both curves are one.
CLOSED_GAP = 0.02
#: Distance from the mesh's line within which the lip line is searched, in mouth widths; upward, it is at most this part of the
#: upper lip's thickness, because above the lip there may be a moustache.
_SEARCH, _LIP_SEARCHED = 0.035, 0.3
#: Steps of the search on either side of the mesh's line; a closed lip line is darker than both lips so many steps away.
_STEPS, _FLANK = 12, 7
#: Width of the seam between lip and teeth that is given to the interior, in mouth widths: otherwise specks of teeth stay on
#: closed lips.
_HEM = 0.010
#: The opening of a mouth ends this part of the way from the mesh's inner corners to its outer ones.
_BEYOND_CORNERS = 0.5
#: Up to this gap in the mesh (in mouth widths), which cannot see a slight one, the picture tells where the lips end; the seam.
_SLIGHT_GAP, _SLIGHT_HEM = 0.06, 0.004
#: The edges of a slight gap are smoothed over so many samples: a reflection on a lip would leave a notch in it.
_GAP_ROUNDED = 3.0


def lip_curves(
    portrait: npt.NDArray[np.uint8], landmarks: FloatArray, frame: FaceFrame
) -> tuple[FloatArray, FloatArray]:
    """Find the lower edge of the upper lip and the upper edge of the lower lip in an RGB portrait, [SAMPLES, 2] px each."""
    upper = _smooth_curve(frame.local(landmarks[list(mesh.UPPER_LIP_INNER), :2]))
    lower = _smooth_curve(frame.local(landmarks[list(mesh.LOWER_LIP_INNER), :2]))
    gap, width = mesh.lip_gap(landmarks), mesh.mouth_width(landmarks)
    slightly = _slightly_open(portrait, (upper + lower) / 2, frame, width) if gap < _SLIGHT_GAP else None
    if slightly is not None and (gap < CLOSED_GAP or not np.array_equal(*slightly)):
        upper, lower = slightly if gap < CLOSED_GAP else _at_least(slightly, (upper, lower))
    else:
        upper, lower = (_longer(edge, frame.local(landmarks[[61, 291], :2])) for edge in (upper, lower))
        upper = _follow(portrait, upper, frame, width, _evenness)
        lower = _follow(portrait, lower, frame, width, _evenness)
        _widen(upper, lower, _HEM * width)
    _meet_at_corners(upper, lower)
    return frame.picture(upper).astype(np.float32), frame.picture(lower).astype(np.float32)


def shown_gap(portrait: npt.NDArray[np.uint8], landmarks: FloatArray, frame: FaceFrame) -> float:
    """Return the gap that an RGB picture shows between lips that are nearly shut, whatever the mesh reads, in mouth widths."""
    edges = (
        _smooth_curve(frame.local(landmarks[list(edge), :2])) for edge in (mesh.UPPER_LIP_INNER, mesh.LOWER_LIP_INNER)
    )
    upper, lower = edges
    _, _, height = _gap_near(portrait, (upper + lower) / 2, frame, mesh.mouth_width(landmarks))
    return max(height, 0.0)


def _gap_near(
    portrait: npt.NDArray[np.uint8], line: npt.NDArray[np.float64], frame: FaceFrame, width: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """The dark line between the lips near a `line`, and the gap around it: see `find_slight_gap`."""
    line = _follow(portrait, line, frame, width, _darkness)
    return line, *find_slight_gap(portrait, line, frame, width)


def _slightly_open(
    portrait: npt.NDArray[np.uint8], line: npt.NDArray[np.float64], frame: FaceFrame, width: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The edges of lips that are nearly shut near a `line`; both are the same if the picture shows no gap."""
    line, ends, height = _gap_near(portrait, line, frame, width)
    upper, lower = line.copy(), line.copy()
    if height > CLOSED_GAP:
        for edge, end in ((upper, ends[:, 0]), (lower, ends[:, 1])):
            edge[:, 1] = _round_off(line[:, 1] + end, _GAP_ROUNDED)
        _widen(upper, lower, _SLIGHT_HEM * width)
    return upper, lower


def _at_least(
    found: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    seen: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The `found` edges, as far apart as those `seen` by the mesh: teeth between them may be as red as a lip, and darker."""
    upper, lower = found
    for edge, other, farther in ((upper, seen[0], np.minimum), (lower, seen[1], np.maximum)):
        edge[:, 1] = _round_off(farther(edge[:, 1], np.interp(edge[:, 0], other[:, 0], other[:, 1])), _GAP_ROUNDED)
    return upper, lower


def _longer(edge: npt.NDArray[np.float64], outer: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The edge with ends nearer to the `outer` corners, [2, 2] px: the mesh's inner ones lie within what an open mouth shows."""
    ends = edge[[0, -1]] + _BEYOND_CORNERS * (outer - edge[[0, -1]])
    return _smooth_curve(np.concatenate([ends[:1], edge, ends[1:]]))


def _widen(upper: npt.NDArray[np.float64], lower: npt.NDArray[np.float64], by: float) -> None:
    """Move both edges apart by so many px, in place, by more toward the corners, where the edge is least clear, and not there."""
    aside = np.abs(np.linspace(-1, 1, SAMPLES))
    hem = by * (1 + 1.5 * aside**2) * (1 - aside**10)
    upper[:, 1] -= hem
    lower[:, 1] += hem


def _meet_at_corners(upper: npt.NDArray[np.float64], lower: npt.NDArray[np.float64]) -> None:
    """Bring both curves together over their last samples, in place: outside the corners there is no gap."""
    index = np.arange(SAMPLES)
    apart = np.minimum(np.minimum(index, index[::-1]) / 5.0, 1.0)
    middle, half = (upper[:, 1] + lower[:, 1]) / 2, (lower[:, 1] - upper[:, 1]) / 2 * np.sqrt(apart)
    upper[:, 1], lower[:, 1] = middle - half, middle + half


def _smooth_curve(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A smooth curve of SAMPLES points through landmarks, evenly spaced along local x, with the same ends."""
    x = np.linspace(points[0, 0], points[-1, 0], SAMPLES)
    order = np.argsort(points[:, 0])
    y = np.interp(x, points[order, 0], points[order, 1])
    return np.stack([x, _round_off(y, 4.0)], axis=1)


def _round_off(values: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Smooth the deviation from the line between the ends (Gaussian, sigma in samples); the ends stay."""
    base = np.linspace(values[0], values[-1], len(values))
    bump = values - base
    mirrored = np.concatenate([-bump[:0:-1], bump, -bump[-2::-1]])
    reach = np.arange(-int(4 * sigma), int(4 * sigma) + 1)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    smoothed = np.convolve(mirrored, kernel / kernel.sum(), mode="same")
    return np.asarray(base + smoothed[len(values) - 1 : 2 * len(values) - 1])


def _follow(
    portrait: npt.NDArray[np.uint8],
    line: npt.NDArray[np.float64],
    frame: FaceFrame,
    mouth_width: float,
    cost_of: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    """Find the line of least cost in a band around the mesh's line, by dynamic programming."""
    reach = _STEPS + _FLANK
    offsets = np.arange(-reach, reach + 1) * (_SEARCH * mouth_width / _STEPS)
    grid = line[:, None, :] + np.stack([np.zeros_like(offsets), offsets], axis=1)[None]
    places = frame.picture(grid).astype(np.float32)
    soft = blur(portrait, max(mouth_width / 250, 0.6))
    cost = cost_of(sample(soft, places).astype(np.float64))
    up = min(_SEARCH * mouth_width, _LIP_SEARCHED * frame.upper_lip)
    searched = (np.abs(np.arange(-reach, reach + 1)) <= _STEPS) & (offsets >= -up)
    cost, offsets = cost[:, searched], offsets[searched]
    cost += 0.15 * np.ptp(cost) * (offsets / offsets[-1]) ** 2  # prefers the mesh's line where the picture shows none
    found = line.copy()
    found[:, 1] += offsets[_cheapest_path(cost)]
    found[:, 1] = _round_off(found[:, 1], 2.5)
    return found


def _darkness(band: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cost of a closed lip line: low where the band is darker than on both sides. The edge of a moustache has one light side."""
    level = band.mean(axis=-1)
    padded = np.pad(level, ((0, 0), (_FLANK, _FLANK)), mode="edge")
    above, below = padded[:, : -2 * _FLANK], padded[:, 2 * _FLANK :]
    return np.asarray(-np.clip(np.minimum(above, below) - level, 0.0, None))


def _evenness(band: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cost of a lip's edge: low where the colour changes most."""
    return np.asarray(-np.abs(np.gradient(band, axis=1)).sum(axis=-1))


def _cheapest_path(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The column in each row of the path of least cost that moves at most one column per row."""
    rows, columns = cost.shape
    total = cost.copy()
    origin = np.zeros((rows, columns), np.intp)
    padded = np.full(columns + 2, np.inf)
    steps = np.arange(columns) - 1
    for row in range(1, rows):
        padded[1:-1] = total[row - 1]
        choices = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        origin[row] = steps + choices.argmin(axis=0)
        total[row] += choices.min(axis=0)
    path = np.zeros(rows, np.intp)
    path[-1] = int(total[-1].argmin())
    for row in range(rows - 1, 0, -1):
        path[row - 1] = origin[row, path[row]]
    return path
