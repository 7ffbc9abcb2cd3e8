"""Restart on change: tells apps which of their files changed. One thread for all of them, only while any is watched."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.watch.ignore import Ignore
from rota.daemon.watch.scope import Scope
from rota.daemon.watch.thread import Eye

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rota.daemon.watch.scope import Change, Key
    from rota.errors import RotaError
    from rota.process.spec import WatchSpec


class Trigger(msgspec.Struct, frozen=True):
    """Why a restart is due: a path, relative to the app's directory where it lies in it, and how many more changed."""

    path: str
    deleted: bool = False
    more: int = 0

    def __str__(self) -> str:
        return f"{self.path} {'deleted' if self.deleted else 'changed'}" + f" (and {self.more} more)" * bool(self.more)


class _Subscription(msgspec.Struct):
    """One app's callbacks, and the changes that wait for its delay to pass."""

    scope: Scope
    delay: float
    on_change: Callable[[Trigger], None]
    on_trouble: Callable[[RotaError], None]
    waiting: list[Change] = msgspec.field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Watcher:
    """The watched apps by key. Belongs to the event loop in which it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._apps: dict[Key, _Subscription] = {}
        self._eye: Eye | None = None
        self._closing: list[Eye] = []

    def watch(
        self,
        key: Key,
        base: str,
        spec: WatchSpec,
        on_change: Callable[[Trigger], None],
        on_trouble: Callable[[RotaError], None],
        never: Iterable[str] = (),
    ) -> None:
        """Watch for an app, in place of what was watched for it before.

        Args:
            base: the app's directory, watched where the spec names no paths.
            on_change: called when something that matters changed and the spec's delay has passed.
            on_trouble: called when a directory has vanished (watching goes on when it is back), or the system's limits are
                reached (watching has ended).
            never: absolute paths to ignore in any case: the app's own logs.
        """
        self.unwatch(key)
        roots = tuple(dict.fromkeys(os.path.join(base, path).rstrip("/") or "/" for path in spec.paths or (base,)))
        scope = Scope(roots, Ignore(base, spec.ignore, spec.extensions, never))
        self._apps[key] = _Subscription(scope, spec.delay, on_change, on_trouble)
        self._look()

    def unwatch(self, key: Key) -> None:
        """Watch no longer; nothing is called any more. Nothing happens when it was not watched."""
        app = self._apps.pop(key, None)
        if app is not None:
            if app.timer is not None:
                app.timer.cancel()
            self._look()

    def __contains__(self, key: object) -> bool:
        return key in self._apps

    async def close(self) -> None:
        """Watch nothing; returns when the thread has ended."""
        for key in list(self._apps):
            self.unwatch(key)
        for eye in self._closing:
            await eye.gone()
        self._closing.clear()

    def _look(self) -> None:
        if self._eye is None:
            self._eye = Eye(self._loop, self._changed, self._troubled)
        self._eye.look_at({key: app.scope for key, app in self._apps.items()})
        if not self._apps:
            self._closing = [eye for eye in self._closing if eye.running()]
            self._closing.append(self._eye)
            self._eye = None

    def _changed(self, key: Key, scope: Scope, changes: list[Change]) -> None:
        app = self._apps.get(key)
        if app is None or app.scope is not scope:
            return
        app.waiting.extend(changes)
        if app.timer is None:
            app.timer = self._loop.call_later(app.delay, self._tell, app)

    def _tell(self, app: _Subscription) -> None:
        app.timer = None
        (deleted, path), *_ = app.waiting
        more = len({other for _, other in app.waiting} - {path})
        app.waiting = []
        app.on_change(Trigger(app.scope.ignore.relative(path), deleted, more))

    def _troubled(self, key: Key, scope: Scope, error: RotaError, ended: bool) -> None:
        app = self._apps.get(key)
        if app is None or app.scope is not scope:
            return
        if ended:
            self.unwatch(key)
        app.on_trouble(error)
