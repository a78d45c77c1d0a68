"""The command line: ``filterlens run``, ``book``, ``train``, ``bench`` (also ``python -m filterlens``).

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="What does this filter of a convolutional network do, and would anyone miss it?",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip

Profile = Annotated[str, typer.Option("--profile", help="smoke (seconds), book (the published pages) or paper (the paper's own set-up).")]
Workers = Annotated[int, typer.Option(min=1, help="How many notebooks run at a time.")]
Force = Annotated[bool, typer.Option("--force", help="Execute even what has not changed.")]


def _processors() -> int:
    return max(1, min(4, os.cpu_count() or 1))


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="Name (3-decoding) or path of a notebook.")],
    profile: Profile = "book",
    parameter: Annotated[list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Override a parameter.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the executed copy (default _build/runs/PROFILE).")] = None,
    force: Force = False,
) -> None:
    """Execute one notebook. Its parameters are checked before anything starts."""
    from tqdm import tqdm

    from filterlens import runs

    values = runs.parse(notebook, parameter or [])
    source, _, own = runs.prepare(notebook, profile, values)
    if own:
        typer.echo("These are not the profile's parameters: the run is not entered into the ledger.")
    with tqdm(total=runs.code_cells(source), unit="cell", desc=source.stem) as bar:
        path = runs.run(notebook, profile=profile, parameters=values, out=out, force=force, on_cell=bar.update)
        bar.update(bar.total - bar.n)
    typer.echo(path)


@app.command()
def book(profile: Profile = "book", workers: Workers = _processors(), force: Force = False) -> None:
    """Execute all notebooks and build the pages."""
    from filterlens import book as site
    from filterlens.runs.parameters import PROFILES, ParameterError

    if profile not in PROFILES:  # a build that fails removes the old site; a slip of the pen must not
        raise ParameterError(f"profile: got {profile!r}, expected one of {', '.join(PROFILES)}")
    typer.echo(f"\nOpen {site.build(profile, workers=workers, force=force, say=typer.echo)}")


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A network with a recipe, such as lenet.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights and of the training.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    data: Annotated[str | None, typer.Option(help="Name of the images, instead of the recipe's.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Take only so many training images.")] = None,
    out: Annotated[
        str | None, typer.Option(help="Name in data/checkpoints or path of the weights (default NAME, with what differs from its recipe).")
    ] = None,
) -> None:
    """Train a network by its recipe and ship its weights. An interrupted training is taken up again."""
    from filterlens import checks, recipes

    try:
        checks.choice("name", name, recipes.names())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        trained = recipes.train(name, seed=seed, epochs=epochs, data=data, n=n, out=out or True, checkpoint=True)
    except ValueError as error:
        if isinstance(error, OSError) or not re.match(r"(data|n|out|split|seed|epochs): ", str(error)):
            raise  # missing data is told by main; anything else is no mistake of the user's
        raise typer.BadParameter(str(error)) from None
    typer.echo(f"{trained.path}: {100 * trained.history.test_accuracy[-1]:.2f} % of the test images")


@app.command()
def bench(arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to pytest, after --.")] = None) -> None:
    """Run the side-by-side benchmarks; they print their table of ratios."""
    from filterlens.sources import project_home

    command = [sys.executable, "-m", "pytest", "tests/bench", "-q", "-s", "--benchmark-only", "-p", "no:xdist", *(arguments or [])]
    raise typer.Exit(subprocess.run(command, cwd=project_home(), check=False).returncode)


def main() -> None:
    """Run the command line; what the user can mend is said without a traceback."""
    try:
        app()
    except (ValueError, RuntimeError, OSError) as error:
        from filterlens import book as site
        from filterlens import runs

        if not isinstance(error, runs.ParameterError | runs.RunError | site.BookError | FileNotFoundError):
            raise
        sys.exit(f"filterlens: {error}")


if __name__ == "__main__":
    main()
