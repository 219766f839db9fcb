"""Labels pictures as made by AI: in words, and in IPTC's terms for how a picture came to be."""

from __future__ import annotations

import io
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from stages.media.disclosure import SOURCE_TYPE, file_tags

#: IPTC's term for what a trained model made.
TRAINED = "trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Origin:
    """How a picture came to be.

    Attributes:
        label: for people.
        source_type: the last word of IPTC's term.
    """

    label: str
    source_type: str

    @property
    def sentence(self) -> str:
        """Label and term, for a comment in a file."""
        return file_tags(None, self.label, self.source_type)["comment"]

    @property
    def xmp(self) -> str:
        """An XMP packet with both."""
        return (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
            'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
            f"photoshop:Credit={quoteattr(self.label)} "
            f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}{self.source_type}"/></rdf:RDF></x:xmpmeta>'
        )


def png_bytes(picture: npt.NDArray[np.uint8], origin: Origin) -> bytes:
    """Encode a picture, RGB [height, width, 3], as PNG with its origin."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", origin.sentence)
    info.add_itxt("XML:com.adobe.xmp", origin.xmp)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def jpeg_bytes(picture: npt.NDArray[np.uint8], origin: Origin, quality: int) -> bytes:
    """Encode a picture, RGB [height, width, 3], as JPEG with its origin. `quality`: 1 to 100."""
    file = io.BytesIO()
    Image.fromarray(picture).save(
        file, "JPEG", quality=quality, comment=origin.sentence.encode(), xmp=origin.xmp.encode()
    )
    return file.getvalue()
