"""Scheduled work from the command line: jobs, runs, and looking ahead."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.cli.terminal import Terminal
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota

FILE = """
[jobs.poll]
run = "true"
every = "2m"
timeout = "20s"
budget = { lookup = 1 }
[jobs.treasury]
run = "true"
cron = "30 2 * * *"
tz = "Europe/Berlin"
budget = { lookup = 15 }
[jobs.snap]
run = "true"
cron = "30 2 * * *"
timeout = "10m"
tz = "Europe/Berlin"
budget = { lookup = 2 }
[budgets.lookup]
limit = 15
per = "15m"
"""


def test_a_job_from_the_command_line_runs_shows_and_ends_with_its_code(rota: Rota) -> None:
    rota.ok(
        "job", "add", "backup", "--cron", "0 2 * * *", "--tz", "Europe/Paris", "--", "sh", "-c", "echo done; exit 3"
    )
    done = rota("run", "backup")
    assert (done.returncode, "done\n" in done.stdout) == (3, True)
    (run,) = [json.loads(line) for line in rota.ok("runs", "backup", "--json").splitlines()]
    assert (run["outcome"], run["exit_code"], run["trigger"]) == ("failed", 3, "manual")
    assert rota.ok("runs", "--id", str(run["id"]), "--output") == "done\n"
    facts = rota.ok("runs", "--id", str(run["id"]))
    assert "exit code 3" in facts
    assert run["output"] in facts
    assert "0 2 * * * Europe/Paris" in rota.ok("list")
    assert rota("rerun", str(run["id"])).returncode == 3
    assert json.loads(rota.ok("runs", "backup", "--json").splitlines()[0])["parent"] == run["id"]


def test_filters_of_the_ledger(rota: Rota) -> None:
    rota.ok("job", "add", "good", "--", "true")
    rota.ok("job", "add", "bad", "--", "false")
    for name in ("good", "bad", "good"):
        rota("run", name)
    rows = [json.loads(line) for line in rota.ok("runs", "--json").splitlines()]
    assert [row["job"] for row in rows] == ["good", "bad", "good"]
    assert [json.loads(line)["job"] for line in rota.ok("runs", "--failed", "--json").splitlines()] == ["bad"]
    assert len(rota.ok("runs", "--outcome", "ok", "-n", "1", "--json").splitlines()) == 1
    assert rota.ok("runs", "--since", "2099-01-01", "--json") == ""
    assert "no job nope" in rota.fails("runs", "nope")


def test_pause_resume_and_what_the_list_says(rota: Rota) -> None:
    rota.ok("job", "add", "nightly", "--cron", "0 2 * * *", "--", "true")
    rota.ok("pause", "nightly")
    assert "paused" in rota.ok("list")
    assert "nothing is planned" in rota.ok("plan")
    rota.ok("resume", "nightly")
    assert "nightly" in rota.ok("plan", "--hours", "25")


def test_an_interrupted_run_goes_on(rota: Rota) -> None:
    rota.ok("job", "add", "long", "--", "sh", "-c", "echo begun; exec sleep 600")
    process = rota.popen("run", "long")
    eventually(lambda: '"running"' in rota.ok("runs", "--json"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "The run goes on" in err
    (run,) = [json.loads(line) for line in rota.ok("runs", "--json").splitlines()]
    assert run["state"] == "running"
    rota.ok("cancel", str(run["id"]))
    eventually(lambda: '"cancelled"' in rota.ok("runs", "--json"))


@pytest.mark.parametrize(("answer", "code", "becomes"), [("", 130, "running"), ("n", 0, "finished")])
def test_ctrl_c_on_a_terminal_asks_whether_the_run_goes_on(rota: Rota, answer: str, code: int, becomes: str) -> None:
    rota.ok("job", "add", "other", "--", "sleep", "600")
    rota.ok("run", "other", "--detach")
    rota.ok("job", "add", "long", "--", "sh", "-c", "echo begun; exec sleep 600")
    with Terminal(rota, "run", "long") as terminal:
        terminal.shows("begun")
        terminal.types("\x03")
        terminal.shows("Leave it running? [Y/n]")
        terminal.types(f"{answer}\r")
        assert terminal.ends() == code
        assert ("The run goes on" in terminal.seen) is (answer != "n")

    def states() -> dict[str, str]:
        return {row["job"]: row["state"] for row in map(json.loads, rota.ok("runs", "--json").splitlines())}

    eventually(lambda: states() == {"long": becomes, "other": "running"})


def test_ctrl_c_at_a_rerun_ends_that_run(rota: Rota) -> None:
    rota.ok(
        "job", "add", "long", "--", "sh", "-c", "echo begun; [ ! -e again ] || exec sleep 600", "--overlap", "allow"
    )
    rota.ok("run", "long")
    (rota.cwd / "again").touch()
    with Terminal(rota, "rerun", "1") as terminal:
        terminal.shows("begun")
        terminal.types("\x03")
        terminal.shows("Leave it running?")
        terminal.types("n\r")
        assert terminal.ends() == 0
    eventually(lambda: "cancelled by the user" in rota.ok("runs", "--id", "2"))


def test_budgets_of_a_file_hold_runs_back(rota: Rota) -> None:
    text = '[jobs.a]\nrun = "true"\nbudget = { one = 1 }\n[budgets.one]\nlimit = 1\nper = "1h"\n'
    (rota.cwd / "rota.toml").write_text(text)
    rota.ok("start", "rota.toml")
    assert rota("run", "a").returncode == 0
    rota.ok("run", "a", "--detach")
    rows = [json.loads(line) for line in rota.ok("runs", "a", "--json").splitlines()]
    assert (rows[0]["state"], rows[0]["started"]) == ("claimed", None)
    rota.ok("cancel", str(rows[0]["id"]))


# --- looking ahead needs no daemon ---------------------------------------------------------------------------------------


def test_check_does_the_arithmetic_and_ends_with_one(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text(FILE)
    done = rota("check", "rota.toml")
    assert done.returncode == 1
    assert "25 of 15 per 15m" in done.stdout
    assert not (rota.home / "rota.pid").exists()
    (found,) = json.loads(rota("check", "--json").stdout)
    assert {"budget-overdrawn", "no-timeout", "clock-change", "collision"} <= {
        each["code"] for each in found["findings"]
    }
    assert found["budgets"][0]["worst"] == 25


def test_check_passes_what_is_sound_and_strict_minds_warnings(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text('[jobs.a]\nrun = "true"\ncron = "0 4 * * *"\n')
    assert "1 warning, no errors" in rota.ok("check")
    assert rota("check", "--strict").returncode == 1
    (rota.cwd / "rota.toml").write_text('[jobs.a]\nrun = "true"\ncron = "0 4 * * *"\ntimeout = "5m"\n')
    assert "nothing to mend" in rota.ok("check", "--strict")
    assert "timeout-too-short" in rota("check", "--json", "--duration", "a=10m").stdout
    assert "which is no job here" in rota.fails("check", "--duration", "b=10m")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[jobs.a]\nrun = "no-such-program"\n', "file"),
        (
            '[apps.a]\nrun = "python3 -m http.server --port 80"\n[apps.b]\nrun = "python3 -m http.server --port=80"\n',
            "port-twice",
        ),
        ('[jobs.a]\nrun = "true"\nevery = "1h"\nkill_timeout = "10m"\n', "kill-timeout"),
        ('[jobs.a]\nrun = "true > out.txt"\nshell = true\n', "log-rotation"),
        ('[jobs.a]\nrun = "true"\nverify = "no-such-program"\n', "file"),
        ('[jobs.a]\nrun = "python3 missing.py"\n', "file"),
        ('[jobs.a]\nrun = "bash missing.sh"\n', "script-missing"),
        ('[apps.a]\nrun = "sleep 9"\ncron_restart = "30 2 * * *"\ntz = "Europe/Paris"\n', "clock-change"),
    ],
)
def test_check_sees_programs_ports_limits_and_logs(rota: Rota, text: str, code: str) -> None:
    (rota.cwd / "rota.toml").write_text(text)
    (found,) = json.loads(rota("check", "--json").stdout)
    assert code in {each["code"] for each in found["findings"]}


def test_a_missing_script_hides_nothing(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text(
        '[apps.poller]\nrun = "no-such-program"\nevery = "60s"\nbudget = { lookup = 1 }\n'
        '[jobs.a]\nrun = "neither"\ncron = "30 2 * * *"\ntz = "Europe/Paris"\nbudget = { lookup = 10 }\ncolour = 3\n'
        '[budgets.lookup]\nlimit = 15\nper = "15m"\n'
    )
    (found,) = json.loads(rota("check", "--json").stdout)
    assert {(each["code"], each["where"]) for each in found["findings"]} == {
        ("file", "apps.poller"), ("file", "jobs.a"), ("file", "jobs.a.colour"), ("budget-overdrawn", "lookup"),
        ("clock-change", "a"), ("no-timeout", "a"),
    }  # fmt: skip
    assert found["budgets"][0]["worst"] == 25
    assert "colour: unknown key" in rota.fails("start", "rota.toml")


def test_check_of_an_app_that_says_nothing_to_run_tells_of_the_slip(rota: Rota) -> None:
    rota.write("rota.toml", '[apps.web]\nrum = "python app.py"\n[jobs.two]\ncron = "0 2 * * *"\n')
    done = rota("check", "rota.toml")
    assert done.returncode == 1
    assert 'did you mean "run"?' in done.stdout
    assert "jobs.two: says nothing to run" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_does_not_parse_is_an_error_of_the_check(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text("[jobs.a\n")
    assert rota("check").returncode == 1
    assert "nothing is there" not in rota("check").stderr


def test_the_daemons_plan_knows_the_budgets_of_its_files(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text(FILE)
    rota.ok("start", "rota.toml")
    of_file, of_daemon = (json.loads(rota.ok("plan", *file, "--json")) for file in (["rota.toml"], []))
    assert [each["sharing"] for each in of_daemon["collisions"]] == [each["sharing"] for each in of_file["collisions"]]
    assert any(each["budgets"] for each in of_daemon["collisions"])


def test_plan_of_a_file_as_chart_picture_and_json(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text(FILE)
    chart = rota.ok("plan", "--hours", "24", "--duration", "snap=90m")
    assert "treasury" in chart
    assert "start in the same minute" in chart
    rota.ok("plan", "rota.toml", "--svg", "plan.svg")
    ET.parse(rota.cwd / "plan.svg")
    facts = json.loads(rota.ok("plan", "--json", "--duration", "snap=90m"))
    (snap,) = [job for job in facts["jobs"] if job["name"] == "snap"]
    assert snap["usual_seconds"] == 5400


def test_durations_come_from_the_ledger(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text('[jobs.a]\nrun = "sleep 0.3"\ncron = "0 4 * * *"\ntimeout = "5m"\n')
    rota.ok("start", "rota.toml")
    rota.ok("run", "a")
    assert 0.25 < json.loads(rota.ok("plan", "--json"))["jobs"][0]["usual_seconds"] < 5
    rota.ok("shutdown")
    assert 0.25 < json.loads(rota.ok("plan", "rota.toml", "--json"))["jobs"][0]["usual_seconds"] < 5


def test_a_year_is_simulated_from_the_command_line(rota: Rota) -> None:
    (rota.cwd / "rota.toml").write_text(FILE)
    text = rota.ok("sim", "rota.toml", "--from", "2026-01-01", "--days", "365")
    assert "no start is doubled, none is missed" in text
    bad = FILE.replace('cron = "30 2 * * *"', 'cron = "30 2 * * *"\ndst = "real"')
    (rota.cwd / "rota.toml").write_text(bad)
    done = rota("sim", "--from", "2026-01-01", "--json")
    assert done.returncode == 1
    kinds = {each["kind"] for each in json.loads(done.stdout)["incidents"]}
    assert {"double", "miss"} <= kinds


def test_cron_previews_mark_the_change_of_clocks(rota: Rota) -> None:
    text = rota.ok("cron", "next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28T12:00", "-n", "2")
    assert "Sun 2026-03-29 03:00:00 +0200   2026-03-29T01:00:00Z   <- clocks forward 1:00" in text
    autumn = ("--tz", "Europe/Berlin", "--from", "2026-10-25T03:10+01:00", "-n", "4")
    marked = [line[15:26] for line in rota.ok("cron", "prev", "*/30 * * * *", *autumn).splitlines() if "<-" in line]
    assert marked == ["02:00:00 +0"]
    first = json.loads(
        rota.ok("cron", "prev", "30 2 * * *", "--tz", "UTC", "--from", "2026-03-28", "-n", "1", "--json")
    )
    assert first["utc"] == "2026-03-27T02:30:00Z"
    assert "Monday to Friday" in rota.ok("cron", "explain", "0 9 * * 1-5")
    assert "minute" in rota.fails("cron", "next", "61 * * * *")
    both = rota.ok("cron", "0 9 * * 1-5", "--tz", "UTC", "--from", "2026-03-28", "-n", "1").splitlines()
    assert both == [
        "At 09:00 from Monday to Friday (UTC).",
        "Mon 2026-03-30 09:00:00 +0000   2026-03-30T09:00:00Z",
    ]
    assert rota.ok("cron", "@daily", "-n", "3").count("\n") == 4
    assert 'did you mean "next"?' in rota.fails("cron", "nxt", "* * * * *")
    assert "five fields in quotes" in rota.fails("cron", "0", "9", "*", "*", "*")
