"""serve: a directory over HTTP, as one of rota's apps."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from rota.cli.fast import exit_code
from rota.cli.free_port import require_free_for
from rota.ecosystem.environment import callers
from rota.errors import UsageError
from rota.home import setting
from rota.process.spec import AppSpec
from rota.web import static_server
from rota.web.static_site import DEFAULT_HOST, DEFAULT_PORT, site_from_environment
from rota.wire.messages import StartSpecs

if TYPE_CHECKING:
    from rota.cli.session import Session


@click.command("serve")
@click.argument("path", default=".")
@click.argument("port_argument", metavar="[PORT]", required=False, type=click.IntRange(0, 65535))
@click.option("--port", type=click.IntRange(0, 65535), help=f"{DEFAULT_PORT} by default.")
@click.option("--host", help=f"Address to listen on, as 0.0.0.0 for all; {DEFAULT_HOST} by default.")
@click.option("-n", "--name", help="Name of the app; static-page-server-PORT by default.")
@click.option("--spa", is_flag=True, help="Answer unknown paths with index.html.")
@click.option("--ftp", is_flag=True, help="List directories that have no index.html.")
@click.option("--basic-auth-username", "user", metavar="USER")
@click.option("--basic-auth-password", "password", metavar="PASSWORD", help="Better in ROTA_SERVE_BASIC_AUTH_PASSWORD.")
@click.option("-f", "--force", is_flag=True, help="Start a second one of that name.")
@click.pass_obj
def serve_command(
    session: Session,
    path: str,
    port_argument: int | None,
    port: int | None,
    host: str | None,
    name: str | None,
    spa: bool,
    ftp: bool,
    user: str | None,
    password: str | None,
    force: bool,
) -> int:
    """Serve the files of a directory. Only this machine can reach them unless --host says otherwise."""
    root = os.path.realpath(os.path.join(session.cwd(), path))
    chosen = next((p for p in (port, port_argument) if p is not None), int(setting("SERVE_PORT") or DEFAULT_PORT))
    env = {"ROTA_SERVE_PORT": str(chosen), "ROTA_SERVE_PATH": "."}
    host = env["ROTA_SERVE_HOST"] = host or setting("SERVE_HOST") or DEFAULT_HOST
    env |= {f"ROTA_SERVE_{key}": "true" for key, given in (("SPA", spa), ("FTP", ftp)) if given}
    env |= _credentials(user, password)
    site_from_environment(env, root)  # refuses now what the server would refuse later
    spec = AppSpec(
        name=name or f"static-page-server-{chosen}",
        script="serve",
        exec_path=static_server.__file__,
        interpreter=sys.executable,
        argv=(sys.executable, "-P", "-m", static_server.__name__),
        interpreter_reason="rota's file server",
        cwd=root,
        env={"PYTHONUNBUFFERED": "1", **env},
        shell_env={key: value for key, value in callers(session.shell_environment()).items() if "_SERVE_" not in key},
    )
    require_free_for(session, spec, host, chosen, force=force)
    code = session.show(StartSpecs(specs=(spec,), force=force))
    if code == 0:
        session.say(f"Serving {root} on port {chosen}" + ("" if host != DEFAULT_HOST else _LOCAL))
    return exit_code(code)


_LOCAL = f" of {DEFAULT_HOST}: only this machine can see it (--host 0.0.0.0 opens it)"


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    user = user or setting("SERVE_BASIC_AUTH_USERNAME")
    password = password or setting("SERVE_BASIC_AUTH_PASSWORD")
    if not user and not password:
        return {}
    if not user or not password:
        raise UsageError("basic authentication needs a user name and a password", "give both, or neither")
    return {
        "ROTA_SERVE_BASIC_AUTH": "true",
        "ROTA_SERVE_BASIC_AUTH_USERNAME": user,
        "ROTA_SERVE_BASIC_AUTH_PASSWORD": password,
    }
