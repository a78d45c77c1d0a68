"""The command line (also ``python -m filterlens``): ``filterlens run``, ``book``, ``train``, ``features``, ``experiment``, ``sweep``,
``truth``, ``agreement``, ``passport``, ``bench``.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

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
    name: Annotated[str, typer.Argument(help="A network with a recipe: lenet, resnet20 or resnet20-decomposed, say.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights and of the training.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    data: Annotated[str | None, typer.Option(help="Name of the images, instead of the recipe's.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Take only so many training images.")] = None,
    out: Annotated[
        str | None, typer.Option(help="Name in data/checkpoints or path of the weights (default NAME, with what differs from its recipe).")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="public: decompose the published network; its weights are only kept with --out.")
    ] = None,
) -> None:
    """Train a network by its recipe and ship its weights. An interrupted training is taken up again."""
    from filterlens import checks, recipes

    with _refused("name"):
        checks.choice("name", name, recipes.names())
    weights = {} if pretrained is None else {"pretrained": pretrained}
    with _refused("data|n|out|split|seed|epochs|pretrained"):
        trained = recipes.train(
            name, seed=seed, epochs=epochs, data=data, n=n, out=out or (None if weights else True), checkpoint=True, **weights
        )
    if trained.before:
        typer.echo(f"{100 * trained.before[0]:.2f} % of the test images with the whole layer, {100 * trained.before[1]:.2f} % decomposed")
    typer.echo(f"{trained.path or name}: {100 * trained.history.test_accuracy[-1]:.2f} % of the test images")


@app.command()
def features(
    name: Annotated[str, typer.Argument(help="A network with weights: resnet20, say, or resnet20-decomposed.")],
    pretrained: Annotated[str | None, typer.Option(help="public, or the path of a checkpoint, instead of our own weights.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Keep the test features only, and the ranks of the training ones.")] = False,
    data: Annotated[str, typer.Option(help="Name of the images.")] = "cifar10",
    out: Annotated[str | None, typer.Option(help="Name in data/features or path of the file (default NAME, with what differs).")] = None,
) -> None:
    """Keep what a network's final layer sees of a data set. An interrupted run is taken up again."""
    from filterlens import features as pooled

    with _refused("name|data|out|split|pretrained"):
        made = pooled.make(name, pretrained=pretrained or True, data=data, out=out or True, train_features=not summary, checkpoint=True)
    full, half = (100 * made.about[key] for key in ("accuracy", "accuracy_half_precision"))
    typer.echo(f"{made.path}: {full:.2f} % of the test images, {half:.2f} % from features in half precision")


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="removal-lenet, removal-resnet20, retraining-lenet or starts-lenet, say.")],
    out: Annotated[str | None, typer.Option(help="Path of the .csv (default NAME in data/experiments).")] = None,
) -> None:
    """Run a long experiment and keep its rows. An interrupted one is taken up again."""
    from filterlens import experiments

    with _refused("name|out|checkpoint"):
        made = experiments.make(name, out=out or True, checkpoint=True)
    typer.echo(_rows_of(made))


@app.command()
def sweep(
    specs: Annotated[
        list[str] | None,
        typer.Argument(metavar="SPEC...", help="Names in notebooks/experiments (000-table-1) or paths of .yaml files (default all at the papers' own scale)."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes of this machine, with one thread each.")] = _processors(),
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster that runs already, instead of processes.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where the networks go: cuda, say (default the processor).")] = None,
    folder: Annotated[Path | None, typer.Option(help="Of finished cells and logs (default in the user's cache).")] = None,
    out: Annotated[Path | None, typer.Option(help="Path of the .csv, of a single spec (default data/experiments/SPEC.csv).")] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a cell is handed out again after its worker was lost.")] = 3,
    force: Annotated[bool, typer.Option("--force", help="Measure finished cells again.")] = False,
) -> None:
    """Measure published tables again, cell by cell. An interrupted sweep is taken up again.

    All specs are checked before the first cell is measured. Where cells fail the others are still measured, and so are the next specs.
    """
    from filterlens.runs import forks, sweeps

    if out is not None and len(specs or ()) != 1:
        raise typer.BadParameter("out: expected it left out for more than one spec")
    for spec in specs or ():
        sweeps.find(spec)
    if scheduler is None:
        forks.begin()  # its imports take as long as ours: at the same time
    read = [sweeps.read(spec) for spec in specs] if specs else sweeps.every()
    failed = []
    for spec in read:
        options = {"device": device, "folder": folder and folder / spec.name, "retries": retries, "force": force, "out": out or True}
        try:
            with _refused("device|folder|out|workers|trained|pretrained"):
                made = sweeps.sweep(spec, workers=workers, scheduler=scheduler, **options)
            typer.echo(f"{made.path}: {len(made.rows)} rows")
        except (sweeps.SweepError, FileNotFoundError) as error:
            failed.append(spec.name)
            typer.echo(f"{error}\n", err=True)
    if failed:
        typer.echo(f"filterlens: not finished: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


@app.command()
def truth(
    out: Annotated[str | None, typer.Option(help="Path of the .csv (default truth in data/experiments).")] = None,
) -> None:
    """Score every method on planted worlds whose answer is known, and print the table. Half an hour; an interrupted run is taken up again."""
    from filterlens import experiments
    from filterlens.experiments.truth import in_words

    with _refused("out|checkpoint"):
        made = experiments.make("truth", out=out or True, checkpoint=True)
    typer.echo(f"{in_words(made.rows)}\n\n{made.path}: {len(made.rows)} rows")


@app.command()
def agreement(
    networks: Annotated[list[str] | None, typer.Argument(help="Some only: lenet, resnet20-csg or lite0, say (default all nine).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the .csv files (default data/experiments).")] = None,
) -> None:
    """Hold every lens against what the network loses without each filter, and print the table. An hour; an interrupted run is taken up again.

    The networks are measured one after the other, lenet first; how far they have come is kept until the last has ended.
    """
    from filterlens.experiments.agreement import STUDIES, in_words
    from filterlens.experiments.series import make_all

    with _refused("names|name|out|checkpoint"):
        made = make_all("agreement", networks or list(STUDIES), out=out or True, on_made=lambda one: typer.echo(_rows_of(one)))
    typer.echo(f"\n{in_words([one.rows for one in made])}")


@app.command()
def passport(
    model: Annotated[str, typer.Argument(help="lenet, resnet20, resnet20-csg, efficientnet-lite0, torchvision/NAME or timm/NAME, say.")],
    layer: Annotated[str, typer.Argument(help="Dotted name of a convolution or linear layer: layer2.0.conv1, say.")],
    filter: Annotated[int, typer.Argument(help="Index of one of its filters, from 0.")],
    out: Annotated[str | None, typer.Option(help="Path of the .html (default MODEL-LAYER-FILTER.html, here).")] = None,
    data: Annotated[str | None, typer.Option(help="Name of the images, your own too: folder:PATH or npz:PATH.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="How many of them (default all, 200 at most).")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels of a side (default what the network is evaluated with).")] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="public, random, or the path of your own .safetensors, instead of our weights.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the isolation (default 100).")] = None,
    shown: Annotated[int | None, typer.Option(min=1, help="How many images it is isolated in (default 2).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the archetypes' start, the isolation, and random weights.")] = 0,
) -> None:
    """Write one filter's passport: all five lenses on one sheet, a single file that needs nothing else.

    A network without a name here, your own, has its passport from Python; images are in [0, 1], and normalization says
    how your network wants them:

    \b
      from filterlens import models
      from filterlens.synthesis import passport
      card = passport.passport(model, "conv1", 7, images, labels, normalization=models.Normalization(mean=..., std=...))
      passport.write_html(card, "sheet.html")
    """
    from filterlens.synthesis import passport as room
    from filterlens.synthesis.passport.page import checked_path

    weights = {None: True, "random": False}.get(pretrained, pretrained)
    options = {key: value for key, value in (("steps", steps), ("shown", shown)) if value is not None}
    with _refused("name|layer|filter|data|n|size|pretrained|steps|shown|seed|root|path|out"):
        path = checked_path(f"{model}-{layer}-{filter}.html".replace("/", "-") if out is None else out, "out")
        card = room.of_network(model, layer, filter, data=data, n=n, size=size, pretrained=weights, seed=seed, **options)
        room.write_html(card, path)
    typer.echo("\n".join([f"{path}: {card.title}", *(f"  no {part}: {why}" for part, why in card.missing().items())]))


def _rows_of(made: Any) -> str:
    """Where the rows of an experiment are, in a line."""
    baseline = made.about["baseline"]
    told = "" if baseline is None else f", {100 * baseline:.2f} % of the test images with all filters"
    return f"{made.path}: {len(made.rows)} rows{told}"


@contextmanager
def _refused(arguments: str) -> Iterator[None]:
    """A ValueError that names one of the arguments is a mistake of the user's, told in a line; missing files are told by main."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, OSError) or not re.match(rf"({arguments}): ", str(error)):
            raise
        raise typer.BadParameter(str(error)) from None


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
        from filterlens.runs import sweeps

        if isinstance(error, sweeps.PlaceError | sweeps.SpecError):
            sys.exit(f"filterlens: {error}")
        if not isinstance(error, runs.ParameterError | runs.RunError | site.BookError | FileNotFoundError):
            raise
        sys.exit(f"filterlens: {error}")


if __name__ == "__main__":
    main()
