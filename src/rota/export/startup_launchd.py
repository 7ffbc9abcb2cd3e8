"""The launchd property list of a user's rota (macOS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.export.startup_boot import BootScript

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.export.startup_boot import Boot

# A daemon, not an agent: agents start when their user logs in, which on a server is never.
# AbandonProcessGroup: the keeper goes on when `rota resurrect`, which launchd started, has ended.
_TEMPLATE = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{label}</string>
  <key>UserName</key>
  <string>{user}</string>
  <key>ProgramArguments</key>
  <array>
{arguments}
  </array>
  <key>EnvironmentVariables</key>
  <dict>
{environment}
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <false/>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>65536</integer>
  </dict>
  <key>StandardOutPath</key>
  <string>{log}</string>
  <key>StandardErrorPath</key>
  <string>{log}</string>
</dict>
</plist>
"""


def launchd(boot: Boot) -> BootScript:
    """`/Library/LaunchDaemons/<service>.plist`."""
    label = boot.service.replace("rota-", "rota.", 1)
    path = f"/Library/LaunchDaemons/{label}.plist"
    text = _TEMPLATE.format(
        label=_escaped(label),
        user=_escaped(boot.user),
        arguments="\n".join(f"    <string>{_escaped(part)}</string>" for part in (*boot.program, "resurrect")),
        environment="\n".join(_pairs(boot.environment.items())),
        log=_escaped(f"{boot.rota_home}/startup.log"),
    )
    return BootScript(
        platform="launchd",
        path=path,
        text=text,
        mode=0o644,
        enable=(("launchctl", "load", "-w", path),),
        disable=(("launchctl", "unload", "-w", path), ("rm", "-f", path)),
    )


def _pairs(items: Iterable[tuple[str, str]]) -> list[str]:
    return [f"    <key>{_escaped(key)}</key>\n    <string>{_escaped(value)}</string>" for key, value in items]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
