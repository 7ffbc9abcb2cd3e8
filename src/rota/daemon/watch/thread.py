"""The thread that waits for changes of files, for all watched apps. Started only when something is watched.

watchfiles reports through blocking calls, hence a thread; its asynchronous form would start one for each app, and import
anyio. The directories are told one by one and without recursion: told to recurse, watchfiles also takes all of
node_modules and .git, up to the system's limit, in one call that stops the whole daemon meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from typing import TYPE_CHECKING, TypeAlias

from rota.errors import RotaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchfiles._rust_notify import RustNotify

    from rota.daemon.watch.scope import Change, Key, Scope

_STEP_MS = 50
"""A change is reported when this long nothing else has changed ..."""
_DEBOUNCE_MS = 2000
"""... or when changes have not ceased for this long (a checkout, an installation)."""
_LIMIT_MS = 250
"""How long one call waits. (Its own way to be stopped throws away what it has seen.)"""
_DELETED = 3


class Eye:
    """Watches until it is told to look at nothing. Its callbacks are called in the event loop.

    Args:
        on_changes: key, scope and the changes that matter.
        on_trouble: key, scope, the error in words, and whether watching this scope has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_changes: Callable[[Key, Scope, list[Change]], None],
        on_trouble: Callable[[Key, Scope, RotaError, bool], None],
    ) -> None:
        self._loop, self._on_changes, self._on_trouble = loop, on_changes, on_trouble
        self._plan: dict[Key, Scope] = {}
        self._replanned = threading.Event()
        self._last_turn = asyncio.Event()
        self._thread: threading.Thread | None = None

    def look_at(self, plan: dict[Key, Scope]) -> None:
        """Watch these from now on; nothing ends the thread, and with it the use of this object."""
        self._plan = plan
        self._replanned.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rota-watch", daemon=True)
            self._thread.start()

    def running(self) -> bool:
        """Whether the thread still runs."""
        return self._thread is not None and self._thread.is_alive()

    async def gone(self) -> None:
        """Return when the thread has ended."""
        if self._thread is not None:
            await self._last_turn.wait()
            self._thread.join()

    # --- in the thread ---

    def _run(self) -> None:
        watching: RustNotify | None = None
        seen: _Seen = []
        try:
            while True:
                self._replanned.clear()
                plan = dict(self._plan)
                if not plan:
                    return
                former, (watching, news) = watching, self._begin(plan)
                late, due = self._hand_over(plan, former, watching)
                seen += late
                if due:
                    seen += news
                    continue
                self._tell([(key, scope, scope.settle(changes)) for key, scope, changes in seen] + news)
                seen = self._wait(plan, watching)
        finally:
            if watching is not None:
                watching.close()
            self._call(self._last_turn.set)

    def _hand_over(
        self, plan: dict[Key, Scope], former: RustNotify | None, watching: RustNotify | None
    ) -> tuple[_Seen, bool]:
        """End the former, which has gone on until the new one began, so that nothing fell between.

        What both have seen is fetched from both now: reported once, it causes one restart.
        """
        if former is None:
            return [], False
        seen, _ = self._sort(plan, former.watch(1, 1, 1, None))
        former.close()
        again, due = self._sort(plan, watching.watch(20, 10, 10, None) if watching is not None else None)
        return seen + again, due

    def _begin(self, plan: dict[Key, Scope]) -> tuple[RustNotify | None, _Seen]:
        """Watch what there is now. Scopes for which that is impossible are taken out of the plan."""
        # Here, because the import takes a while, and it is only this thread that can spare it.
        from watchfiles._rust_notify import RustNotify

        news: _Seen = []
        tries = 0
        while plan:
            for key, scope in plan.items():
                changes, vanished = scope.survey()
                news.append((key, scope, changes))
                for root in vanished:
                    error = RotaError(f"{root} is not there to be watched", "watching goes on when it is back")
                    self._call(self._on_trouble, key, scope, error, False)
            directories = sorted(set().union(*(scope.directories for scope in plan.values())))
            try:
                # Not told to overlook denied permissions: it then overlooks the system's limits, too.
                return (RustNotify(directories, False, False, 0, False, False) if directories else None), news
            except (FileNotFoundError, PermissionError):
                tries += 1  # gone, or closed to us, between survey and watch
            except (OSError, RuntimeError) as error:
                tries = 0
                self._give_up_newest(plan, error)
            if tries > 10:
                self._give_up_newest(plan, OSError("its directories come and go too fast"))
        return None, news

    def _give_up_newest(self, plan: dict[Key, Scope], error: Exception) -> None:
        key, scope = plan.popitem()
        self._call(self._on_trouble, key, scope, _in_words(error, len(scope.directories)), True)

    def _wait(self, plan: dict[Key, Scope], watching: RustNotify | None) -> _Seen:
        """Report changes until the plan or the directories have changed; returns those still to be reported."""
        while not self._replanned.is_set():
            if watching is None:
                self._replanned.wait(_LIMIT_MS / 1000)
                result: object = "timeout"
            else:
                result = watching.watch(_DEBOUNCE_MS, _STEP_MS, _LIMIT_MS, None)
            seen, due = self._sort(plan, result)
            if due or any(scope.back() for scope in plan.values()):
                return seen
            self._tell(seen)
        return []

    def _sort(self, plan: dict[Key, Scope], result: object) -> tuple[_Seen, bool]:
        """Whose changes these are, and whether new surveys are due. The result may be a word instead of a set."""
        if not isinstance(result, set):
            return [], False
        changes = [(kind == _DELETED, path) for kind, path in sorted(result, key=lambda change: change[1])]
        sorted_ = [(key, scope, scope.own(changes)) for key, scope in plan.items()]
        return [(key, scope, own) for key, scope, (own, _) in sorted_], any(due for _, _, (_, due) in sorted_)

    def _tell(self, seen: _Seen) -> None:
        merged: dict[Key, tuple[Scope, list[Change]]] = {}
        for key, scope, changes in seen:
            merged.setdefault(key, (scope, []))[1].extend(changes)
        for key, (scope, changes) in merged.items():
            if changes:
                self._call(self._on_changes, key, scope, changes)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(callback, *args)


_Seen: TypeAlias = "list[tuple[Key, Scope, list[Change]]]"


def _in_words(error: Exception, directories: int) -> RotaError:
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC or "limit" in text:
        hint = f"this app needs {directories} watches: raise sysctl fs.inotify.max_user_watches, or ignore more directories"
        return RotaError("the system's limit of watched directories is reached", hint)
    if number == errno.EMFILE or "Too many open files" in text:
        hint = "raise sysctl fs.inotify.max_user_instances"
        return RotaError("the system's limit of watchers (inotify instances) is reached", hint)
    return RotaError(f"files cannot be watched: {text}", "restart the app by hand after changes")
