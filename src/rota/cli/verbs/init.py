"""init (ecosystem): an ecosystem file to begin with. Unlike PM2, never over an existing one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from rota.errors import NotPermitted, UsageError

if TYPE_CHECKING:
    from rota.cli.session import Session

_JAVASCRIPT = """\
module.exports = {
  apps: [
    {
      name: 'app',
      script: './app.py',
      // instances: 'max',
      max_memory_restart: '512M',
      env: { APP_ENV: 'development' },
      env_production: { APP_ENV: 'production' }, // rota start ecosystem.config.js --env production
    },
    {
      // A job: it runs at these times, and is not restarted when it ends.
      name: 'nightly',
      script: './nightly.py',
      cron_restart: '0 2 * * *',
      autorestart: false,
    },
  ],
};
"""

_SIMPLE = """\
module.exports = {
  apps: [{ name: 'app', script: './app.py' }],
};
"""

_TOML = """\
# rota start rota.toml

[apps.app]
run = "python app.py"
max_memory = "512M"
# instances = "max"
# ready = { http = "http://127.0.0.1:8000/healthz", timeout = "10s" }

[apps.app.env]
APP_ENV = "development"

[apps.app.env.production]          # rota start rota.toml --env production
APP_ENV = "production"

[jobs.nightly]
run = "python nightly.py"
cron = "0 2 * * *"
timeout = "10m"
overlap = "skip"
"""

TEMPLATES = {
    "": ("ecosystem.config.js", _JAVASCRIPT),
    "simple": ("ecosystem.config.js", _SIMPLE),
    "toml": ("rota.toml", _TOML),
}


@click.command("init")
@click.argument("kind", required=False, default="", metavar="[simple|toml]")
@click.option("-f", "--force", is_flag=True, help="Overwrite a file that exists.")
@click.pass_obj
def init_command(session: Session, kind: str, force: bool) -> int:
    """Write ./ecosystem.config.js (or, with toml, ./rota.toml) to begin with."""
    if kind not in TEMPLATES:
        raise UsageError(f"there is no template {kind}", "as in `rota init`, `rota init simple`, `rota init toml`")
    name, text = TEMPLATES[kind]
    path = os.path.join(session.cwd(), name)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with open(os.open(path, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise NotPermitted(f"{path} exists already", "give --force to overwrite it") from None
    except OSError as error:
        raise NotPermitted(f"{path} cannot be written: {error.strerror}") from error
    session.say(f"File {path} generated")
    return 0
