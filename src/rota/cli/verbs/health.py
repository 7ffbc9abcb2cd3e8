"""health, serve-health: are the jobs on time? The answer is the library's (`rota.schedule.health`), run as its own program."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from rota.cli.fast import exit_code
from rota.cli.free_port import require_free_for
from rota.ecosystem.environment import callers
from rota.errors import TargetNotFound
from rota.process.spec import AppSpec
from rota.wire.messages import StartSpecs

if TYPE_CHECKING:
    from rota.cli.session import Session

PROGRAM = "rota.schedule.health"
DEFAULT_PORT = 9616


@click.command("health")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The body of /health/cron, or of /health/cron/NAME.")
@click.option("--store", help="Another store than the daemon's: a URL such as sqlite:///rota.db.")
@click.pass_obj
def health_command(session: Session, name: str | None, as_json: bool, store: str | None) -> int:
    """Show which jobs are healthy, late or failing: rota's own and those inside apps. Exit code 1 when not all are well."""
    words = ["show", *([name] if name else []), *(["--json"] if as_json else [])]
    sys.stdout.flush()
    argv = _argv(session, store, "", words)
    os.execv(argv[0], argv)  # noqa: S606 - no shell, and that is the point


@click.command("serve-health")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Elsewhere than here: only with ROTA_HEALTH_TOKEN set."
)
@click.option("--budgets-key", default="", help="A second name for the budgets in /health/cron, as x_api_status.")
@click.option("--store", help="Another store than the daemon's: a URL such as sqlite:///rota.db.")
@click.option("-n", "--name", help="Name of the app; health-PORT by default.")
@click.option("--foreground", is_flag=True, help="Serve from this terminal, not as an app of rota's.")
@click.option("-f", "--force", is_flag=True, help="Start a second one of that name.")
@click.pass_obj
def serve_health_command(
    session: Session,
    port: int,
    host: str,
    budgets_key: str,
    store: str | None,
    name: str | None,
    foreground: bool,
    force: bool,
) -> int:
    """Serve /health/cron and its kin over HTTP, for monitors and load balancers."""
    argv = _argv(session, store, budgets_key, ["serve", "--port", str(port), "--host", host], must_exist=foreground)
    if foreground:
        sys.stdout.flush()
        os.execv(argv[0], argv)  # noqa: S606 - no shell, and that is the point
    spec = AppSpec(
        name=name or f"health-{port}",
        script="serve-health",
        exec_path=argv[0],
        argv=tuple(argv),
        args=tuple(argv[1:]),
        cwd=session.home.path,
        env={key: os.environ[key] for key in ("ROTA_HEALTH_TOKEN", "ROTA_RUN_TOKEN") if key in os.environ},
        shell_env=callers(os.environ),
    )
    require_free_for(session, spec, host, port, force=force)
    code = exit_code(session.show(StartSpecs(specs=(spec,), force=force)))
    if not code:
        session.say(f"http://{host}:{port}/health/cron")
    return code


def _argv(session: Session, store: str | None, key: str, words: list[str], *, must_exist: bool = True) -> list[str]:
    if store is None:
        if must_exist and not os.path.exists(session.home.db):
            raise TargetNotFound(f"nothing has run in {session.home.path} yet", "start something, or name a --store")
        store = f"sqlite:///{session.home.db}"
    extra = ["--budgets-key", key] if key else []
    return [sys.executable, "-E", "-P", "-m", PROGRAM, "--store", store, *extra, *words]
