"""``acpref protocol``: the schema documents, and how they compare with the published ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from acpref_protocol import schema_build
from acpref_protocol.schema_diff import Report, UpstreamError, diff_version
from acpref_protocol.schema_documents import documents
from acpref_protocol.schema_known import KNOWN

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The specification as code: schema documents and their comparison.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON.")]


@app.command()
def diff(
    upstream: Annotated[
        Path, typer.Option(help="Checkout of the published specification; it holds versions/.")
    ],
    version: Annotated[str | None, typer.Option(help="Compare this version only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare our schemas with the published ones.

    Exits 0 if every difference is explained, 1 if one is not or an explanation no longer applies, 2 if the directory
    cannot be used.
    """
    versions = tuple(documents())
    if version is not None and version not in versions:
        _fail(f"unknown version {version!r}; there is {', '.join(versions)}")
    try:
        reports = [diff_version(upstream, each, KNOWN[each]) for each in ([version] if version else versions)]
    except UpstreamError as error:
        _fail(f"{error}; --upstream takes the directory that holds 'versions'")
    if as_json:
        print(json.dumps([_as_json(report) for report in reports], indent=2))
    else:
        for report in reports:
            _print(report)
    raise typer.Exit(0 if all(report.clean for report in reports) else 1)


@app.command()
def schemas(
    check: Annotated[bool, typer.Option("--check", help="Only look whether the files are current.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Bring the files up to date.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the JSON Schema documents from the models, or check that they are current (exit 1 if not)."""
    if check == write:
        _fail("say either --check or --write")
    wanted = schema_build.files()
    found = schema_build.stale(wanted) if check else schema_build.write(wanted)
    paths = [path.relative_to(schema_build.DIRECTORY).as_posix() for path in found]
    current = not (check and paths)
    if as_json:
        report = {"current": current, "documents": len(wanted), "stale" if check else "written": paths}
        print(json.dumps(report, indent=2))
    elif paths:
        for path in paths:
            print(f"{'out of date' if check else 'written'}: {path}")
    else:
        print(f"all {len(wanted)} schema documents are current")
    raise typer.Exit(0 if current else 1)


def _as_json(report: Report) -> dict[str, object]:
    return {
        "version": report.version,
        "clean": report.clean,
        "unexplained": [asdict(difference) for difference in report.unexplained],
        "explained": [
            {**asdict(difference), "reason": entry.reason} for difference, entry in report.explained
        ],
        "stale": [asdict(entry) for entry in report.stale],
    }


def _print(report: Report) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    counts = (
        f"{len(report.explained)} explained, {len(report.unexplained)} unexplained, {len(report.stale)} stale"
    )
    console.print(f"{report.version}: {counts}")
    for difference, entry in report.explained:
        console.print(
            f"  explained    {difference.kind:8}{difference.document}{difference.path}\n    {entry.reason}"
        )
    for difference in report.unexplained:
        console.print(f"  UNEXPLAINED  {difference.kind:8}{difference.document}{difference.path}")
        console.print(
            f"    ours:      {json.dumps(difference.ours)}\n    published: {json.dumps(difference.theirs)}"
        )
    for entry in report.stale:
        console.print(f"  STALE        {entry.kind:8}{entry.document}{entry.path}\n    {entry.reason}")


def _fail(message: str) -> NoReturn:
    Console(stderr=True).print(f"acpref protocol: {message}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
