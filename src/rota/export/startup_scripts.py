"""Boot scripts for init systems that run a shell script: LSB (System V, upstart), OpenRC, FreeBSD and OpenBSD rc.d."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rota.export.startup_boot import BootScript

if TYPE_CHECKING:
    from rota.export.startup_boot import Boot

# The environment stands in the command itself, since su(1) resets PATH on some systems. The verbs are plain words, so that
# any login shell can be handed one string.
_AS_USER = """\
as_user() {{
    if [ "$(id -un)" = {user} ]; then
        env {environment} {program} "$@"
    else
        {su} {user} -c {command}" $*"
    fi
}}
"""

_LINUX_SU = "su -s /bin/sh"
_BSD_SU = "su -m"

_LSB = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          {service}
# Required-Start:    $local_fs $remote_fs $network
# Required-Stop:     $local_fs $remote_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: rota process manager for {plain_user}
# Description:       Starts what ran before, and what `rota save` recorded.
### END INIT INFO
# chkconfig: 2345 98 02
# description: rota process manager for {plain_user}

{as_user}
case "$1" in
    start)
        as_user resurrect
        ;;
    stop)
        as_user shutdown
        ;;
    restart)
        as_user shutdown
        as_user resurrect
        ;;
    reload|force-reload)
        as_user reload all
        ;;
    status)
        # 3: the program is not running (LSB); asking rota itself would start it.
        pid=$(cat {pid_file} 2>/dev/null) && kill -0 "$pid" 2>/dev/null || exit 3
        as_user list
        ;;
    *)
        echo "Usage: $0 {{start|stop|restart|reload|force-reload|status}}" >&2
        exit 2
        ;;
esac
"""

_OPENRC = """\
#!/sbin/openrc-run

name={quoted_service}
description="rota process manager for {plain_user}"
extra_started_commands="reload"
pidfile={pid_file}

depend() {{
    need localmount
    {network}
    after bootmisc firewall
}}

{as_user}
start() {{
    ebegin "Starting $name"
    as_user resurrect
    eend $?
}}

stop() {{
    ebegin "Stopping $name"
    as_user shutdown
    eend $?
}}

reload() {{
    ebegin "Reloading $name"
    as_user reload all
    eend $?
}}
"""

_FREEBSD = """\
#!/bin/sh

# PROVIDE: {name}
# REQUIRE: LOGIN NETWORKING
# KEYWORD: shutdown

. /etc/rc.subr

name="{name}"
rcvar="{name}_enable"
desc="rota process manager for {plain_user}"
start_cmd="as_user resurrect"
stop_cmd="as_user shutdown"
restart_cmd="as_user shutdown; as_user resurrect"
reload_cmd="as_user reload all"
status_cmd="as_user list"
extra_commands="reload status"

{as_user}
load_rc_config $name
: ${{{name}_enable:="NO"}}

run_rc_command "$1"
"""

_OPENBSD = """\
#!/bin/ksh

daemon={quoted_program}
daemon_user={user}

. /etc/rc.d/rc.subr

{as_user}
rc_start() {{
    as_user resurrect
}}

rc_stop() {{
    as_user shutdown
}}

rc_reload() {{
    as_user reload all
}}

rc_check() {{
    pid=$(cat {pid_file} 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}}

rc_cmd "$1"
"""


def lsb(boot: Boot, platform: str) -> BootScript:
    """`/etc/init.d/<service>` with the headers of both update-rc.d ("upstart") and chkconfig ("systemv")."""
    path = f"/etc/init.d/{boot.service}"
    enable: tuple[tuple[str, ...], ...] = (("update-rc.d", boot.service, "defaults"),)
    disable: tuple[tuple[str, ...], ...] = (("update-rc.d", "-f", boot.service, "remove"), ("rm", "-f", path))
    if platform == "systemv":
        enable = (("chkconfig", "--add", boot.service), ("chkconfig", boot.service, "on"))
        disable = (("chkconfig", boot.service, "off"), ("rm", "-f", path))
    text = _LSB.format(service=boot.service, as_user=_as_user(boot), **_words(boot))
    return BootScript(platform, path, text, 0o755, enable, disable)


def openrc(boot: Boot) -> BootScript:
    """`/etc/init.d/<service>` for OpenRC."""
    path = f"/etc/init.d/{boot.service}"
    text = _OPENRC.format(
        quoted_service=shlex.quote(boot.service),
        network="need net" if boot.wait_for_network else "use net",
        as_user=_as_user(boot),
        **_words(boot),
    )
    enable = (("rc-update", "add", boot.service, "default"),)
    disable = (("rc-update", "del", boot.service, "default"), ("rm", "-f", path))
    return BootScript("openrc", path, text, 0o755, enable, disable)


def freebsd(boot: Boot) -> BootScript:
    """`/usr/local/etc/rc.d/<name>`; the name is a shell word, since rc.conf holds `<name>_enable`."""
    name = _identifier(boot.service)
    path = f"/usr/local/etc/rc.d/{name}"
    text = _FREEBSD.format(name=name, as_user=_as_user(boot, _BSD_SU), **_words(boot))
    enable = (("sysrc", f"{name}_enable=YES"),)
    disable = (("sysrc", "-x", f"{name}_enable"), ("rm", "-f", path))
    return BootScript("rcd", path, text, 0o755, enable, disable)


def openbsd(boot: Boot) -> BootScript:
    """`/etc/rc.d/<name>` for OpenBSD."""
    name = _identifier(boot.service)
    path = f"/etc/rc.d/{name}"
    text = _OPENBSD.format(quoted_program=shlex.quote(boot.program[0]), as_user=_as_user(boot, _BSD_SU), **_words(boot))
    enable = (("rcctl", "enable", name),)
    disable = (("rcctl", "disable", name), ("rm", "-f", path))
    return BootScript("rcd-openbsd", path, text, 0o755, enable, disable)


def _words(boot: Boot) -> dict[str, str]:
    return {"user": shlex.quote(boot.user), "plain_user": boot.user, "pid_file": shlex.quote(boot.keeper_pid)}


def _as_user(boot: Boot, su: str = _LINUX_SU) -> str:
    environment = " ".join(shlex.quote(f"{key}={value}") for key, value in boot.environment.items())
    program = shlex.join(boot.program)
    command = shlex.quote(f"exec env {environment} {program}")
    return _AS_USER.format(
        su=su, user=shlex.quote(boot.user), environment=environment, program=program, command=command
    )


def _identifier(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)
