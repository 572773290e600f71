"""One page of PDF (ISO 32000-1): words in Helvetica, which every reader has, bars and pictures.

Nothing of its making is kept. A library would bring more than a page needs: fonts, forms, and the date and the program
in the file.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["HEIGHT", "WIDTH", "Page", "measure", "wrap"]

WIDTH: Final = 595.0  # points, A4
HEIGHT: Final = 842.0
# Widths of the characters 32 to 126 of Helvetica, thousandths of the size (Adobe's font metrics).
_WIDTHS: Final = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, *[556] * 10, 278, 278, 584, 584,
    584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611,
    722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
]  # fmt: skip
_OTHER: Final = 556
_ESCAPED: Final = {ord("\\"): b"\\\\", ord("("): b"\\(", ord(")"): b"\\)"}


class Page:
    """A page that is drawn on; places are points from its upper left corner."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []
        self._pictures: list[PIL.Image.Image] = []

    def write(
        self, text: str, x: float, y: float, size: float = 9.0, color: str = "#1c1c1c", bold: bool = False
    ) -> None:
        """Write one line, `y` below the upper edge; what Windows-1252 does not have becomes a question mark."""
        held = b"".join(_ESCAPED.get(byte, bytes([byte])) for byte in text.encode("cp1252", "replace"))
        font = "F2" if bold else "F1"
        self._draw(f"BT {_color(color)} rg /{font} {size:.2f} Tf {x:.2f} {HEIGHT - y:.2f} Td (")
        self._drawn[-1] += held + b") Tj ET"

    def bar(self, box: tuple[float, float, float, float], color: str) -> None:
        """Fill a box: left, top, width, height."""
        x, y, width, height = box
        self._draw(f"{_color(color)} rg {x:.2f} {HEIGHT - y - height:.2f} {width:.2f} {height:.2f} re f")

    def show(self, picture: PIL.Image.Image, box: tuple[float, float, float, float]) -> None:
        """Put a picture into a box: left, top, width, height."""
        x, y, width, height = box
        self._pictures.append(picture.convert("RGB"))
        place = f"{width:.2f} 0 0 {height:.2f} {x:.2f} {HEIGHT - y - height:.2f}"
        self._draw(f"q {place} cm /P{len(self._pictures)} Do Q")

    def _draw(self, words: str) -> None:
        self._drawn.append(words.encode("ascii"))

    def to_bytes(self) -> bytes:
        """Return the file."""
        names = " ".join(f"/P{k} {6 + k} 0 R" for k in range(1, len(self._pictures) + 1))
        fonts = "/Font << /F1 4 0 R /F2 5 0 R >>"
        held = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH:g} {HEIGHT:g}] /Contents 6 0 R "
            f"/Resources << {fonts} /XObject << {names} >> >> >>".encode("ascii"),
            *(
                f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode("ascii")
                for name in ("Helvetica", "Helvetica-Bold")
            ),
            _stream(b"\n".join(self._drawn), ""),
            *(_stream(picture.tobytes(), _image(picture)) for picture in self._pictures),
        ]
        return _file(held)


def _image(picture: PIL.Image.Image) -> str:
    size = f"/Width {picture.width} /Height {picture.height}"
    return f"/Type /XObject /Subtype /Image {size} /ColorSpace /DeviceRGB /BitsPerComponent 8 "


def _stream(data: bytes, about: str) -> bytes:
    packed = zlib.compress(data, 9)
    head = f"<< {about}/Filter /FlateDecode /Length {len(packed)} >>\nstream\n".encode("ascii")
    return head + packed + b"\nendstream"


def _file(objects: list[bytes]) -> bytes:
    """Put objects into a file, numbered from 1, of which the first is the catalog."""
    found, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(found))
        found += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n" % count
    return found + head + table + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(found))


def _color(color: str) -> str:
    return " ".join(f"{int(color[k : k + 2], 16) / 255:.3f}" for k in (1, 3, 5))


def measure(text: str, size: float) -> float:
    """Return how wide a line of Helvetica is, points."""
    return sum(_WIDTHS[ord(c) - 32] if 32 <= ord(c) < 127 else _OTHER for c in text) * size / 1000


def wrap(text: str, size: float, width: float) -> list[str]:
    """Break words into lines that are no wider, where there is a blank."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
