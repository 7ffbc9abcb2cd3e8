"""list, jlist, prettylist, describe, env, id, pid, ping: one question, the daemon's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rota.cli.fast import exit_code
from rota.cli.target_type import APP
from rota.wire.messages import Describe, Env, Ids, Jlist, List, Pids, Ping

if TYPE_CHECKING:
    from rota.cli.session import Session


@click.command("list")
@click.option("--sort", metavar="FIELD[:asc|desc]", default="", help="name namespace pid id cpu memory uptime status")
@click.option("-m", "--mini-list", is_flag=True, help="One short paragraph an app.")
@click.pass_obj
def list_command(session: Session, sort: str, mini_list: bool) -> int:
    """Show the table of apps and jobs."""
    return exit_code(session.show(List(sort=sort, mini=mini_list)))


@click.command("jlist")
@click.option(
    "--env", "show_env", is_flag=True, help="Also the variables taken over from the shell, as PM2 prints them."
)
@click.pass_obj
def jlist_command(session: Session, show_env: bool) -> int:
    """Print the list as one line of JSON, in PM2's record shape."""
    return exit_code(session.show(Jlist(show_env=show_env)))


@click.command("prettylist")
@click.option(
    "--env", "show_env", is_flag=True, help="Also the variables taken over from the shell, as PM2 prints them."
)
@click.pass_obj
def prettylist_command(session: Session, show_env: bool) -> int:
    """Print the list as Node would print PM2's records."""
    return exit_code(session.show(Jlist(pretty=True, show_env=show_env)))


@click.command("describe")
@click.argument("target", type=APP)
@click.pass_obj
def describe_command(session: Session, target: str) -> int:
    """Show everything about an app: id or name."""
    return exit_code(session.show(Describe(target=target, local_env=session.shell_environment())))


@click.command("env")
@click.argument("target", type=APP)
@click.option("--diff", is_flag=True, help="What the app's file and this shell would give it now, against what it has.")
@click.pass_obj
def env_command(session: Session, target: str, diff: bool) -> int:
    """Show the environment of an instance."""
    request = Env(target=target)
    if diff:
        from rota.cli.sources import next_environment

        request = Env(target=target, next_env=next_environment(session, target))
    return exit_code(session.show(request))


@click.command("id")
@click.argument("name", type=APP)
@click.pass_obj
def id_command(session: Session, name: str) -> int:
    """Print the ids of a name, as [ 0, 1 ]."""
    return exit_code(session.show(Ids(name=name)))


@click.command("pid")
@click.argument("name", default="", type=APP)
@click.pass_obj
def pid_command(session: Session, name: str) -> int:
    """Print one process id a line, 0 for what is stopped; without a name, of all."""
    return exit_code(session.show(Pids(name=name)))


@click.command("ping")
@click.pass_obj
def ping_command(session: Session) -> int:
    """Print { msg: 'pong' }."""
    return exit_code(session.show(Ping()))
