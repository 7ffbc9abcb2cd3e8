"""rota torture finds what is broken, says what could not be tried, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rota.cli.verbs.torture import torture_command
from rota.errors import UsageError
from rota.render.text import PLAIN
from rota.torture import suite
from rota.torture.checks import CHECKS, trees
from rota.torture.finding import Broken, Check, Finding, Unable
from rota.torture.numbered import Chorus, enumerate_lines, log_files
from rota.torture.report import summary, table
from rota.torture.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota.torture.scene import Scene
    from rota.torture.suite import Outcome


def tried(attempt: Callable[[Scene], Finding]) -> Outcome:
    check = Check("it", "it holds", attempt)
    (outcome,) = suite.run([check], seed=1, pace=0.25, report=lambda *_: None)
    return outcome


def test_a_real_promise_is_kept_and_nothing_of_it_is_left() -> None:
    environ, homes = dict(os.environ), []

    def attempt(scene: Scene) -> Finding:
        homes.extend([scene.scratch.root, scene.scratch.runtime])
        return trees.stubborn(scene)

    outcome = tried(attempt)
    assert (outcome.verdict, outcome.lost) == ("kept", "nothing left running"), outcome
    assert dict(os.environ) == environ
    assert [path for path in homes if os.path.exists(path)] == []


def broken(scene: Scene) -> Finding:
    raise Broken("3 lines")


def unable(scene: Scene) -> Finding:
    raise Unable("no such thing here")


def faulty(scene: Scene) -> Finding:
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("attempt", "verdict", "words"),
    [
        (broken, "BROKEN", "3 lines"),
        (unable, "not tried", "no such thing here"),
        (faulty, "BROKEN", "unforeseen KeyError"),
    ],
)
def test_what_is_not_kept_is_said(attempt: Callable[[Scene], Finding], verdict: str, words: str) -> None:
    outcome = tried(attempt)
    assert outcome.verdict == verdict
    assert words in outcome.lost + outcome.note
    text = table([outcome], 100, PLAIN)
    assert verdict in text
    assert summary([outcome], 7).endswith("(seed 7)")
    assert max(map(len, text.splitlines())) <= 100


def test_each_check_draws_the_same_chance_alone_as_among_others() -> None:
    drawn: list[float] = []

    def attempt(scene: Scene) -> Finding:
        drawn.append(scene.rng.random())
        return Finding("drew", 1)

    one = Check("one", "", attempt)
    two = Check("two", "", attempt)
    for checks in ([one, two], [two]):
        list(suite.run(checks, seed=5, pace=1, report=lambda *_: None))
    assert drawn[1] == drawn[2] != drawn[0]


def test_names_of_checks_are_unique() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) >= 18


@pytest.mark.parametrize("words", [["{}"], ["--only", "{}"], ["--list", "{}"]])
@pytest.mark.parametrize(
    ("name", "hint"),
    [("daemon-kiled", 'did you mean "daemon-killed"?'), ("nosuch", "checks are daemon-killed, keeper-")],
)
def test_a_check_there_is_not_is_told_with_those_there_are(words: list[str], name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"there is no check {name}") as caught:
        torture_command.main([word.format(name) for word in words], standalone_mode=False)
    assert caught.value.hint.startswith(hint)
    assert "\n" not in caught.value.message + caught.value.hint


def test_checks_are_chosen_by_name() -> None:
    class Session:
        text = ""

        def out(self, text: str) -> None:
            self.text += text

    session = Session()
    torture_command.main(["clients", "--only", "race", "--list"], standalone_mode=False, obj=session)
    assert [line.split()[0] for line in session.text.splitlines()] == ["race", "clients"]


# --- the proof of the lines can fail ----------------------------------------------------------------------------------


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    made = Scratch()
    os.makedirs(made.home.logs)
    yield made
    made.destroy()


def chorus(scratch: Scratch, lines: list[bytes], written: int, rotated: int = 0) -> Any:
    """A chorus of one whose app has ended, with these lines in its log, some of them in a rotated file."""
    found: Any = Chorus.__new__(Chorus)
    found._scratch, found.names, found.pids = scratch, ["voice"], {}
    Path(scratch.work, "voice.count").write_text(f"{written} end")
    with gzip.open(f"{scratch.home.logs}/voice-out__2026-01-01_00-00-00.log.gz", "wb") as file:
        file.writelines(lines[:rotated])
    Path(scratch.home.logs, "voice-out.log").write_bytes(b"".join(lines[rotated:]))
    return found


def numbered(*numbers: int) -> list[bytes]:
    return [f"voice {number:010d} ...\n".encode() for number in numbers]


def test_lines_are_found_across_rotated_files(scratch: Scratch) -> None:
    assert chorus(scratch, numbered(*range(9)), 9, rotated=4)._verify("voice") == 9
    assert len(log_files(scratch.home.logs, "voice")) == 2
    assert [line for _, line in enumerate_lines(scratch.home.logs, "voice")] == numbered(*range(9))


@pytest.mark.parametrize(
    ("lines", "written", "words"),
    [
        (numbered(0, 1, 3), 4, "1 of 4 lines"),
        (numbered(0, 1), 4, "2 of 4 lines"),
        (numbered(0, 1, 1, 2), 3, "twice"),
        (numbered(1, 0), 2, "twice"),
        ([*numbered(0), b"voice 00000\n"], 2, "torn"),
        ([*numbered(0), b"oice 0000000001 ...\n"], 2, "torn"),
    ],
)
def test_a_line_that_is_lost_torn_or_twice_is_seen(
    scratch: Scratch, lines: list[bytes], written: int, words: str
) -> None:
    with pytest.raises(Broken, match=words):
        chorus(scratch, lines, written)._verify("voice")
