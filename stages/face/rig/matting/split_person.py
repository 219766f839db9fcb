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
from stages.face.rig.matting.found_person import FoundPerson, small_size
from stages.face.rig.matting.hair_gaps import doubt_brighter_walls, open_gaps
from stages.face.rig.matting.hairline import forehead_colour
from stages.face.rig.matting.matte import Matte, Picture
from stages.face.rig.matting.outline import deepness, find_outline
from stages.face.rig.matting.person_regions import PersonRegions, find_regions, shown_regions, whole_regions
from stages.face.rig.matting.plate import fill_behind

ColourField = tuple[FloatArray, FloatArray]

#: Squared distance of the hair's colour from the forehead's, levels: below it, the head is bald there.
_BALD = 40.0**2


def find_person(picture: Picture, landmarks: FloatArray, probability: FloatArray) -> FoundPerson:
    """Find the person in an RGB picture by the segmentation and by the colours of its small version.

    Args:
        picture: uint8 [height, width, 3].
        landmarks: [478, 3] px.
        probability: that each pixel shows a person, 0 to 1, [height, width].
    """
    small, points, _ = _small(picture, landmarks)
    size = small.shape[1], small.shape[0]
    likely = np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_AREA), np.float32)
    regions = find_regions(small, points, likely)
    if regions is None:
        return FoundPerson.nobody()
    if (hair := _hair(small, regions, points)) is not None:
        regions = doubt_brighter_walls(regions, small, hair)
        regions = open_gaps(regions, small, points, hair, forehead_colour(picture, landmarks))
    person, unsure, certain = (mask > 0 for mask in (regions.person, regions.unsure, regions.certain))
    seen = np.asarray(small, np.uint8)
    return FoundPerson(seen, regions.probability, person, unsure, certain, hair, regions.repaired, regions.touched)


def split_person(portrait: Picture, landmarks: FloatArray, person: FoundPerson) -> Matte:
    """Split an RGB portrait into person and background; the matte is empty if the segmentation missed the face.

    Args:
        portrait: uint8 [height, width, 3].
        landmarks: [478, 3] px.
        person: as found in the portrait, or in the picture that it is a part of.
    """
    if not person:
        return Matte.empty()
    small, points, to_small = _small(portrait, landmarks)
    regions = shown_regions(person, (small.shape[1], small.shape[0]))
    pixels = DoubtfulPixels(portrait, small, regions, to_small)
    return move_strands(portrait, _split(pixels, landmarks, points, person))


def _small(picture: Picture, landmarks: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The small version of a picture, the landmarks in it, [478, 2] px, and its px for one of the picture, [2]."""
    height, width = picture.shape[:2]
    size = small_size(width, height)
    to_small = np.array([size[0] / width, size[1] / height], np.float32)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return small, np.asarray((landmarks[:, :2] + 0.5) * to_small - 0.5, np.float32), to_small


def _split(pixels: DoubtfulPixels, landmarks: FloatArray, points: FloatArray, person: FoundPerson) -> Matte:
    """Split by the colours; what is known of the doubtful pixels, tens of megabytes, is gone when this ends."""
    hair, regions = person.hair, pixels.regions
    front, behind = _colours_beside(person, (pixels.small.shape[1], pixels.small.shape[0]))
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


def _colours_beside(person: FoundPerson, size: tuple[int, int]) -> tuple[ColourField, ColourField]:
    """The colours of the person and of the background beside each pixel, and their variances, in what is shown, scaled to a width
    and height. They are spread in the whole picture: a part may lack the background beside the person.
    """
    whole, regions = person.picture.astype(np.float32), whole_regions(person)
    front = spread_colours(whole, regions.sure)
    colours, variance = spread_colours(whole, regions.background)
    variance = variance + arbitrariness(whole, regions.background, colours)
    return (
        (person.shown(front[0], size), person.shown(front[1], size)),
        (person.shown(colours, size), person.shown(variance, size)),
    )


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
