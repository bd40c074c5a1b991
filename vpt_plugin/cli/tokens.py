"""``vpt tokens``: who may log in to a server that is started with a file of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.console import print_table

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Who may log in to the server: add, list, remove.\n\n"
    "For example: vpt tokens add anna --role annotator --file tokens.txt",
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's name, as labels will name them.")]
_File = Annotated[
    Path,
    typer.Option("--file", "-f", help="The file that the server is given as token_file.", show_default=False),
]


@app.command()
def add(
    name: _Name,
    file: _File,
    role: Annotated[
        str,
        typer.Option(
            "--role", "-r", help="user reads, annotator labels, reviewer, admin; each includes those before."
        ),
    ] = "annotator",
) -> None:
    """Make a token for somebody.

    It is printed once and kept nowhere: hand it over, or make a new one. It goes to stdout alone. The file
    keeps only its hash. A running server takes it at once.

    The server must be able to read the file: run this as its user. Root may run it, too: the file stays the
    server's, and a new one belongs to the owner of its folder.

    \b
    Examples:
      sudo -u vptct /opt/vptct/.venv/bin/vpt tokens add anna --file /var/lib/vptct/tokens.txt
      vpt tokens add otto --role admin --file tokens.txt > otto.token
    """
    from vpt_plugin.store.tokens import TokenFile

    token = TokenFile(file).add(name, role)
    typer.echo(f"The token of {name} ({role}), shown this once:", err=True)
    typer.echo(token)
    typer.echo(
        f"{file} holds its hash; the server takes it with --conf token_file {file.absolute()}", err=True
    )


@app.command("list")
def list_people(file: _File) -> None:
    """Who has a token, and in which role.

    \b
    Example:
      vpt tokens list --file tokens.txt
    """
    from vpt_plugin.store.tokens import TokenFile

    people = TokenFile(file).people()
    if not people:
        typer.echo(f"Nobody has a token in {file}: `vpt tokens add NAME --file {file}` makes one.")
        return
    print_table(("name", "role"), [(person.name, person.role) for person in people])


@app.command()
def remove(name: _Name, file: _File) -> None:
    """Take somebody's token away: a running server refuses it from then on.

    \b
    Example:
      vpt tokens remove anna --file tokens.txt
    """
    from vpt_plugin.store.tokens import TokenFile

    TokenFile(file).remove(name)
    typer.echo(f"{name} has no token in {file} any more.")
