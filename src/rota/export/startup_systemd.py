"""The systemd unit of a user's rota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.export.startup_boot import BootScript

if TYPE_CHECKING:
    from rota.export.startup_boot import Boot

_TEMPLATE = """\
# Written by `rota startup`. Remove it with `rota unstartup`; check it with `rota startup --verify`.
[Unit]
Description=rota process manager for {user}
{network}

[Service]
# The keeper daemonises and is the main process: it outlives the daemon, so a crash or an upgrade of the daemon is no event
# for systemd. `resurrect` returns when what is to run has been started; with --boot an app that cannot be is no failure of
# rota, which runs on with the others. No "-" before it: systemd would take it for the keeper's end too, and not restart.
Type=forking
User={user}
PIDFile={pid_file}
{environment}
ExecStart={program} resurrect --boot
ExecReload={program} reload all

# No ExecStop: SIGTERM to the keeper makes the daemon end every process with its own stop signal and grace period, and
# remember what ran, which `rota kill` would forget. So `systemctl restart` and a reboot bring back just that.
# KillMode: only the main process is signalled. With control-group or mixed, a crash of the keeper would kill every app,
# although the next keeper can take them over.
KillMode=process
Restart=on-failure
RestartSec=1
# Apps may take long to become ready, and to finish their work: rota knows each one's limit.
TimeoutStartSec=10min
TimeoutStopSec=10min
# The default would stop the whole unit as soon as the kernel kills one app for memory; rota restarts that one.
OOMPolicy=continue

# Apps inherit these. "infinity" descriptors make programs that close all possible ones at start very slow.
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


def systemd(boot: Boot) -> BootScript:
    """`/etc/systemd/system/<service>.service`."""
    unit = f"{boot.service}.service"
    path = f"/etc/systemd/system/{unit}"
    text = _TEMPLATE.format(
        user=boot.user,
        network=_network(boot),
        pid_file=boot.keeper_pid.replace("%", "%%"),
        environment="\n".join(f"Environment={_quoted(f'{key}={value}')}" for key, value in boot.environment.items()),
        program=" ".join(_argument(part) for part in boot.program),
    )
    return BootScript(
        platform="systemd",
        path=path,
        text=text,
        mode=0o644,
        enable=(("systemctl", "daemon-reload"), ("systemctl", "enable", unit)),
        disable=(("systemctl", "disable", unit), ("rm", "-f", path), ("systemctl", "daemon-reload")),
    )


def _network(boot: Boot) -> str:
    if boot.wait_for_network:
        return "Wants=network-online.target\nAfter=network-online.target"
    return "After=network.target"


def _quoted(text: str) -> str:
    """One word of an assignment: systemd.syntax(7) quoting, specifiers escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _argument(word: str) -> str:
    """One word of a command line, where `$` begins a variable besides (systemd.service(5), "Command lines")."""
    if all(letter.isalnum() or letter in "/._-+=:@," for letter in word):
        return word
    return _quoted(word).replace("$", "$$")


def parse_unit(text: str) -> tuple[tuple[str, ...], dict[str, str], str]:
    """Command line, environment and user of a unit written by `systemd`: what `rota startup --verify` runs."""
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    user = ""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "ExecStart":
            command = tuple(word.replace("$$", "$") for word in _words(value.lstrip("-@:+!")))
        elif key == "Environment":
            environment.update(word.partition("=")[::2] for word in _words(value))
        elif key == "User":
            user = value.strip()
    return command, environment, user


def _words(text: str) -> list[str]:
    words: list[str] = []
    word, quote, begun = "", "", False
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            word, begun = word + next(letters, ""), True
        elif quote:
            word, quote = (word, "") if letter == quote else (word + letter, quote)
        elif letter in "\"'":
            quote, begun = letter, True
        elif letter.isspace():
            words, word, begun = ([*words, word], "", False) if begun else (words, "", False)
        else:
            word, begun = word + letter, True
    return [part.replace("%%", "%") for part in ([*words, word] if begun else words)]
