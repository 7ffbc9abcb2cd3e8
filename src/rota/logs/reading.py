"""Reading log files: lines from the end, lines from an offset, and the files a log consists of, rotated ones included."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rota.logs.rotation import Rotated, chain, rotated_stem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

BLOCK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: where it begins, its bytes without the newline, and whether there was one."""

    offset: int
    text: bytes
    whole: bool


def lines_backward(fd: int, end: int) -> Iterator[Line]:
    """The lines of a file before offset `end`, last one first. Reads no more of the file than is asked for."""
    position, rest, whole, step = end, b"", False, BLOCK
    while position > 0:
        start = max(position - step, 0)
        block = os.pread(fd, position - start, start)
        data, high = block + rest, len(block) + len(rest)
        place = data.rfind(b"\n", 0, len(block))
        while place >= 0:
            if whole or place + 1 < high:
                yield Line(start + place + 1, data[place + 1 : high], whole)
            whole, high = True, place
            place = data.rfind(b"\n", 0, place)
        position, rest = start, data[:high]
        step = max(BLOCK, len(rest))  # a line of many blocks is copied once per step: double it
    if whole or rest:
        yield Line(0, rest, whole)


def lines_forward(file: IO[bytes] | gzip.GzipFile, start: int = 0) -> Iterator[Line]:
    """The lines of an open file from the first that begins at offset `start` or later. A damaged `.gz` ends at the damage."""
    with contextlib.suppress(EOFError, gzip.BadGzipFile, zlib.error):
        offset = max(start - 1, 0)
        file.seek(offset)
        if start > 0:
            offset += len(file.readline())  # only a newline, if a line begins at `start`
        for text in file:
            whole = text.endswith(b"\n")
            yield Line(offset, text[:-1] if whole else text, whole)
            offset += len(text)


def rotated_files(path: str) -> list[Rotated]:
    """The rotated files of the log at `path`, oldest first, each once."""
    folder, name = os.path.split(os.path.realpath(path))
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            stem = rotated_stem(name, entry.name)
            if stem is not None:
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    found.append(Rotated(entry.name, stem, facts.st_mtime, facts.st_size, facts.st_ino))
    return chain(found)


def open_rotated(log_path: str, file: Rotated) -> IO[bytes] | gzip.GzipFile | None:
    """A rotated file, unpacked; None when it is gone. It may have been compressed since it was listed."""
    plain = os.path.join(os.path.dirname(os.path.realpath(log_path)), file.stem)
    with contextlib.suppress(FileNotFoundError):
        return open(plain, "rb")
    with contextlib.suppress(FileNotFoundError):
        return gzip.open(plain + ".gz")
    return None


def name_of(fd: int) -> str:
    """The name an open file has now, "" where the system does not tell: a file that was renamed under its reader."""
    try:
        return os.path.basename(os.readlink(f"/proc/self/fd/{fd}")).removesuffix(" (deleted)")
    except OSError:
        return ""
