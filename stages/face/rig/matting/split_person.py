"""Splits the portrait into the person and the background, by the segmentation and by the colours of both."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import Colours, HairColour, SideColours
from stages.face.rig.matting.cut_out.clean_cut import clean_cut
from stages.face.rig.matting.cut_out.colour_trust import is_guessed
from stages.face.rig.matting.cut_out.keyed_wall import key_wall
from stages.face.rig.matting.cut_out.loose_hair import is_thin_piece, loose_hair
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.fill import arbitrariness, spread_colours
from stages.face.rig.matting.flyaway import move_strands
from stages.face.rig.matting.hair_gaps import doubt_brighter_walls, open_gaps
from stages.face.rig.matting.hairline import forehead_colour
from stages.face.rig.matting.matte import Matte, Picture
from stages.face.rig.matting.outline import deepness, find_outline
from stages.face.rig.matting.person_regions import PersonRegions, find_regions
from stages.face.rig.matting.plate import fill_behind

#: Shorter side of the small picture on which regions and colours are found, px: the segmentation's is 256.
_SMALL = 270
#: Squared distance of the hair's colour from the forehead's, levels: below it, the head is bald there.
_BALD = 40.0**2


def split_person(portrait: Picture, landmarks: FloatArray, person: FloatArray) -> Matte:
    """Split an RGB portrait into person and background; the matte is empty if the segmentation misses the face.

    Args:
        portrait: uint8 [height, width, 3].
        landmarks: [478, 3] px.
        person: probability that each pixel shows a person, 0 to 1, [height, width].
    """
    height, width = portrait.shape[:2]
    scale = min(1.0, _SMALL / min(height, width))
    size = round(width * scale), round(height * scale)
    to_small = np.array([size[0] / width, size[1] / height], np.float32)
    small = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    points = np.asarray((landmarks[:, :2] + 0.5) * to_small - 0.5, np.float32)
    regions = find_regions(
        small,
        points,
        np.asarray(cv2.resize(person, size, interpolation=cv2.INTER_AREA), np.float32),
    )
    if regions is None:
        return Matte.empty()
    hair = _hair(small, regions, points)
    if hair is not None:
        regions = doubt_brighter_walls(regions, small, hair)
        regions = open_gaps(regions, small, points, hair, forehead_colour(portrait, landmarks))
    return move_strands(portrait, _split(DoubtfulPixels(portrait, small, regions, to_small), landmarks, points, hair))


def _split(pixels: DoubtfulPixels, landmarks: FloatArray, points: FloatArray, hair: HairColour | None) -> Matte:
    """Split by the colours; what is known of the doubtful pixels, tens of megabytes, is gone when this ends."""
    small, regions = pixels.small, pixels.regions
    colours, variance = spread_colours(small, regions.background)
    behind = colours, variance + arbitrariness(small, regions.background, colours)
    front = spread_colours(small, regions.sure)
    everywhere = SideColours(Colours.of_picture(front), Colours.of_picture(behind), hair)
    own = SideColours(pixels.colours(front), pixels.colours(behind), hair)
    inside = deepness(pixels, own)
    alpha, clean = find_outline(pixels, everywhere, own, inside, landmarks)
    forehead = forehead_colour(pixels.portrait, landmarks)
    haired = own
    if hair is not None and float(((hair[0] - forehead) ** 2).sum()) < _BALD:
        haired = SideColours(own.person, own.wall, None)
    loose = loose_hair(pixels, haired)
    cut = clean_cut(clean, pixels, haired, inside[0], loose, forehead, landmarks)
    cut = key_wall(cut, pixels, haired.hair, forehead, points)
    guessed = is_guessed(pixels, own, landmarks) or is_thin_piece(loose, clean, pixels, landmarks)
    return replace(fill_behind(pixels, alpha, own), cut=cut, touched=regions.touched, guessed=guessed)


def _hair(small: FloatArray, regions: PersonRegions, landmarks: FloatArray) -> HairColour | None:
    """The colour of the head outside the face, [3], and its variance: a lock may begin beside the neck.

    `landmarks` are those of the small picture, px.
    """
    height, width = regions.person.shape
    oval = landmarks[list(mesh.OVAL)]
    face = np.zeros_like(regions.person)
    cv2.fillConvexPoly(face, np.round(oval).astype(np.int32), (1,))
    kernel = np.ones((2 * round(0.02 * min(height, width)) + 1,) * 2, np.uint8)
    around = (regions.sure > 0) & (cv2.dilate(face, kernel) == 0)
    middle, (across, down) = oval.mean(axis=0), np.ptp(oval, axis=0)
    around[round(float(middle[1])) :] = False
    around[:, : max(0, round(float(middle[0] - across)))] = False
    around[:, max(0, round(float(middle[0] + across))) :] = False
    around[: max(0, round(float(middle[1] - 1.2 * down)))] = False
    colours = small[around]
    if len(colours) < 30:
        return None
    colour = np.median(colours, axis=0).astype(np.float32)
    return colour, float(np.median(((colours - colour) ** 2).sum(axis=1)))
