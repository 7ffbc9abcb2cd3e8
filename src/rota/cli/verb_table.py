"""The table of contents: every verb, where it is and what it is for. A verb's module is imported when it is called."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """`module` below rota.cli.verbs holds a click command of the verb's name (`-` and capitals as `_`)."""

    name: str
    module: str
    help: str
    aliases: tuple[str, ...] = ()


SECTIONS: tuple[tuple[str, tuple[Verb, ...]], ...] = (
    (
        "Run apps",
        (
            Verb("start", "start", "start scripts, commands, ecosystem files, or what was stopped"),
            Verb("restart", "act", "stop and start"),
            Verb("reload", "act", "replace the running processes without an interruption"),
            Verb("stop", "act", "stop, and stay stopped"),
            Verb("delete", "act", "stop and forget", ("del",)),
            Verb("scale", "apps", "change the number of instances: N, +N or -N"),
            Verb("startOrRestart", "start", "restart what a file's apps are running, start the others"),
            Verb("startOrReload", "start", "the same with reload", ("startOrGracefulReload",)),
            Verb("serve", "serve", "serve a directory over HTTP, as an app", ("expose",)),
            Verb("runtime", "runtime", "run in the foreground, as a container's main process"),
        ),
    ),
    (
        "Look",
        (
            Verb("list", "show", "the table of apps and jobs", ("ls", "l", "ps", "status")),
            Verb("describe", "show", "everything about one app", ("desc", "info", "show")),
            Verb("logs", "logs", "show and follow the output of apps", ("log",)),
            Verb("why", "why", "the story of an app or job: why it restarted, why it did not run"),
            Verb("env", "show", "the environment of an instance"),
            Verb("id", "show", "the ids of a name"),
            Verb("pid", "show", "the process ids of a name, or of all"),
            Verb("jlist", "show", "the list as JSON"),
            Verb("prettylist", "show", "the list as text for people and scripts"),
            Verb("report", "report", "facts for a bug report, without secrets"),
        ),
    ),
    (
        "Scheduled work",
        (
            Verb("runs", "jobs", "the ledger of runs"),
            Verb("run", "jobs", "run a job now and follow it"),
            Verb("rerun", "jobs", "run again what a recorded run ran"),
            Verb("pause", "jobs", "let due times of a job pass"),
            Verb("resume", "jobs", "end a pause"),
            Verb("health", "health", "which jobs are healthy, late or failing"),
            Verb("serve-health", "health", "the same over HTTP, as an app"),
            Verb("cancel", "jobs", "end a run that is under way"),
            Verb("cron", "cron", "when an expression is due, and what it says"),
            Verb("plan", "plan", "the coming hours as a chart or a picture"),
            Verb("check", "check", "what will go wrong in a file, before it is started"),
            Verb("sim", "plan", "replay a file's schedules over a year"),
            Verb("job", "jobs", "add a job from the command line"),
        ),
    ),
    (
        "Talk to apps",
        (
            Verb("sendSignal", "apps", "send a signal"),
            Verb("send", "apps", "send a line to standard input"),
            Verb("attach", "attach", "connect this terminal to an app's input and output"),
            Verb("trigger", "apps", "call an action of an app"),
            Verb("reset", "apps", "set counters back to zero"),
            Verb("flush", "files", "empty log files"),
            Verb("reloadLogs", "files", "reopen log files after somebody else rotated them"),
        ),
    ),
    (
        "Survive a reboot",
        (
            Verb("save", "files", "record what runs now", ("dump",)),
            Verb("resurrect", "files", "start what was recorded"),
            Verb("cleardump", "files", "forget what was recorded"),
            Verb("startup", "startup", "start rota at boot"),
            Verb("unstartup", "startup", "no longer start rota at boot"),
            Verb("import", "importing", "take over the saved list of PM2"),
        ),
    ),
    (
        "Settings",
        (
            Verb("set", "settings", "store a setting"),
            Verb("get", "settings", "show a setting, or all"),
            Verb("unset", "settings", "remove a setting"),
            Verb("multiset", "settings", "store several settings"),
            Verb("conf", "settings", "show all settings, or get and set one", ("config",)),
        ),
    ),
    (
        "rota itself",
        (
            Verb("init", "init", "write an ecosystem file to begin with", ("ecosystem",)),
            Verb("ping", "show", "is the daemon there?"),
            Verb("update", "daemon", "replace the running daemon by the rota now installed", ("updatePM2",)),
            Verb("shutdown", "daemon", "stop every app and the daemon; what ran comes back with rota"),
            Verb("kill", "daemon", "stop and forget every app, and end the daemon"),
            Verb("torture", "torture", "try rota's promises on this machine, in a scratch home"),
            Verb("completion", "completion", "completion for bash, zsh and fish"),
        ),
    ),
)

BY_NAME: dict[str, Verb] = {
    name: verb for _, verbs in SECTIONS for verb in verbs for name in (verb.name, *verb.aliases)
}

TAKES_REST = frozenset({"start", "restart", "reload", "startOrRestart", "startOrReload", "runtime", "job"})
"""Verbs whose words after `--` are arguments of the app."""

NO_STRANGERS = frozenset(
    (
        *(
            "runtime",
            "why",
            "runs",
            "run",
            "rerun",
            "pause",
            "resume",
            "health",
            "serve-health",
            "cancel",
            "cron",
            "plan",
        ),
        *("check", "sim", "job", "import", "shutdown", "torture", "completion"),
        *("set", "multiset", "conf", "config", "send", "trigger"),
    )
)
"""Verbs that PM2 does not have, so that none of its habits hold; and those whose words may be anything."""

_NO_CLOUD = (
    "rota has no cloud service, and nothing leaves the machine: see `rota list`, `rota describe` and `rota health`"
)
_NO_MODULES = "rota has no npm modules; log rotation and metrics are built in"
ABSENT: dict[str, str] = {
    **dict.fromkeys(("link", "unlink", "plus", "register", "login", "open", "monitor", "unmonitor"), _NO_CLOUD),
    **dict.fromkeys(("install", "uninstall", "module:install", "module:uninstall", "module:update"), _NO_MODULES),
    "logrotate": "rotation is built in and on: see `rota set rota-logrotate:max_size 10M`",
    "deploy": "rota does not deploy; run `rota startOrReload FILE` at the end of your own deployment",
    **dict.fromkeys(("pull", "forward", "backward"), "use git itself, then `rota reload NAME`"),
    **dict.fromkeys(("slist", "sysinfos"), "see `rota report`"),
    **dict.fromkeys(
        ("monit", "imonit", "dashboard", "dash", "web"), "see `rota list`, `rota describe NAME` and `rota logs`"
    ),
    "examples": "see `rota --help` and `rota VERB --help`",
    # What other managers call it.
    **dict.fromkeys(("rm", "remove"), "as in `rota delete NAME`"),
    **dict.fromkeys(("top", "inspect"), "see `rota list` and `rota describe NAME`"),
    "up": "as in `rota start FILE`",
    "down": "`rota stop all`, or `rota kill` to end and forget everything",
    "tail": "as in `rota logs NAME`",
    "jobs": "`rota list` shows them, `rota runs` what they did",
    "crontab": 'as in `rota job add NAME --cron "0 2 * * *" -- COMMAND`; `rota cron` explains an expression',
    "version": "`rota --version`",
}
"""Verbs that do not exist here, of PM2 mostly, and what to use instead."""
