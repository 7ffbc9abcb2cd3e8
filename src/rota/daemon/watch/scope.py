"""What is watched for one app: which directories that takes, and which of the reported changes are its own."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rota.daemon.watch.ignore import Ignore

Key: TypeAlias = int | str
"""Whatever the caller tells its apps apart by."""
Change: TypeAlias = tuple[bool, str]
"""Whether it was deleted, and the path."""


class Scope:
    """The watched paths of an app. Used by the watching thread alone, but for its fixed fields.

    Args:
        roots: absolute paths of directories and files.
        ignore: what does not matter in them.
    """

    def __init__(self, roots: tuple[str, ...], ignore: Ignore) -> None:
        self.roots, self.ignore = roots, ignore
        self.directories: set[str] = set()
        """What has to be watched, as of the last survey."""
        self._inner: set[str] | None = None
        self._present: set[str] = set()

    def survey(self) -> tuple[list[Change], list[str]]:
        """Look which directories there are.

        Returns the files that came with directories new since the last survey, and the roots that have vanished since.
        """
        before, were_there, first = self._inner or set(), self._present, self._inner is None
        self._present = {root for root in self.roots if os.path.exists(root)}
        self._inner = {inner for root in self._present if os.path.isdir(root) for inner in self._below(root)}
        # A link that is switched to another release, and a file that is replaced, are noticed where they stand.
        beside = {os.path.dirname(root) for root in self._present if os.path.islink(root) or not os.path.isdir(root)}
        self.directories = self._inner | {directory for directory in beside if os.access(directory, os.R_OK)}
        vanished = [root for root in self.roots if root not in self._present and (first or root in were_there)]
        if first:
            return [], vanished
        files = [root for root in self._present - were_there if not os.path.isdir(root)]
        for directory in self._inner - before:
            files.extend(self._files(directory))
        return [(False, path) for path in sorted(files)], vanished

    def back(self) -> bool:
        """Whether a missing root has appeared."""
        if len(self._present) == len(self.roots):
            return False
        return any(root not in self._present and os.path.exists(root) for root in self.roots)

    def own(self, changes: Iterable[Change]) -> tuple[list[Change], bool]:
        """The changes that matter to the app, and whether a survey is due because directories came or went."""
        mine: list[Change] = []
        due = False
        for deleted, path in changes:
            root = self._root_of(path)
            if root is None:
                continue
            if path == root:
                # Replaced or gone: the survey tells. The permissions of a directory are no news.
                if deleted or os.path.islink(path) or not os.path.isdir(path):
                    mine.append((deleted, path))
                    due = True
            elif self.ignore.entry(path, root):
                continue
            elif not deleted and os.path.isdir(path):
                due = due or path not in self.directories
            else:
                due = due or (deleted and path in self.directories)
                if not self.ignore.file(path, root):
                    mine.append((deleted, path))
        return mine, due

    def settle(self, changes: Iterable[Change]) -> list[Change]:
        """Changes seen before a survey as they stand after it: a root that was replaced is not deleted, a vanished one is
        not a change but a trouble."""
        settled = [(deleted and path not in self._present, path) for deleted, path in changes]
        return [(deleted, path) for deleted, path in settled if not (deleted and path in self.roots)]

    def _root_of(self, path: str) -> str | None:
        holding = [root for root in self.roots if path == root or path.startswith(root.rstrip("/") + "/")]
        return max(holding, key=len, default=None)

    def _below(self, root: str) -> Iterator[str]:
        """The root and the directories in it that may be read and are not ignored. Links inside are not followed."""
        pending = [root]
        while pending:
            directory = pending.pop()
            entries = _entries(directory)
            if entries is None:
                continue
            yield directory
            pending.extend(
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not self.ignore.entry(entry.path, root)
            )

    def _files(self, directory: str) -> Iterator[str]:
        root = self._root_of(directory)
        for entry in _entries(directory) or ():
            if root is not None and not entry.is_dir() and not self.ignore.file(entry.path, root):
                yield entry.path


def _entries(directory: str) -> list[os.DirEntry[str]] | None:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        return list(entries)
    return None
