"""One home for reading the text files that people bring: lists, pairs, key points, annotations.

They come from every system and editor, so a byte order mark, UTF-16, CRLF and blank lines are all the same to a reader.
"""

import codecs
from pathlib import Path

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: str | Path) -> str:
    """A text file in UTF-8, or in UTF-16 with its mark. Raises ValueError, in one line, for a file that is not text."""
    content = Path(path).read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8 or UTF-16") from None


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, stripped, each with its number: 1, 2, 3 ...

    Raises OSError if there is no such file, and ValueError as `read_text`.
    """
    numbered = enumerate(read_text(path).splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def tidy_path(name: str) -> str:
    """A path in a list as this project writes it: slashes forward, no `./` or `img/` before it, no quotes around it."""
    name = name.strip().strip("\"'").replace("\\", "/").removeprefix("./").lstrip("/")
    return name.removeprefix("img/")
