"""Writes a picture of shapes as SVG or PNG."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from daemon.telemetry.timeline.picture import Picture, Rect

#: Pixels of a PNG for each pixel of the picture, so that small text is sharp.
_SCALE = 2


def to_svg(picture: Picture) -> str:
    """Return the picture as SVG; what each rectangle is, is shown when it is pointed at."""
    size = f'width="{picture.width}" height="{picture.height}" viewBox="0 0 {picture.width} {picture.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, DejaVu Sans, Arial, sans-serif">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for one in picture.shapes:
        if isinstance(one, Rect):
            border = f' stroke="{one.outline}" stroke-width="1.5"' if one.outline else ""
            box = f'x="{one.x:.2f}" y="{one.y:.2f}" width="{one.width:.2f}" height="{one.height:.2f}"'
            about = f"<title>{escape(one.about)}</title>" if one.about else ""
            lines.append(f'<rect {box} fill="{one.fill}"{border}>{about}</rect>')
        else:
            place = f'x="{one.x:.2f}" y="{one.y:.2f}" font-size="{one.size}" fill="{one.fill}"'
            lines.append(f"<text {place} text-anchor={quoteattr(one.anchor)}>{escape(one.text)}</text>")
    return "\n".join([*lines, "</svg>", ""])


def write_png(picture: Picture, path: Path) -> None:
    """Write the picture as PNG, at twice its size."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (picture.width * _SCALE, picture.height * _SCALE), "#ffffff")
    pen = ImageDraw.Draw(image)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for one in picture.shapes:
        if isinstance(one, Rect):
            # Pillow draws the last pixel, too; what is narrower than one pixel is drawn as one.
            left, top = one.x * _SCALE, one.y * _SCALE
            right = max(left, (one.x + one.width) * _SCALE - 1)
            box = (left, top, right, (one.y + one.height) * _SCALE - 1)
            pen.rectangle(box, fill=one.fill, outline=one.outline or None, width=_SCALE if one.outline else 0)
        else:
            font = ImageFont.load_default(one.size * _SCALE)
            pen.text((one.x * _SCALE, one.y * _SCALE), one.text, one.fill, font, anchors[one.anchor])
    image.save(path, "PNG")
