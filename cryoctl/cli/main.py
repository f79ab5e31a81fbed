"""Entry point of `cryoctl`."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from cryoctl.cli.failure import begun_run, explain, refusal
from cryoctl.cli.lazy_group import LazyGroup
from cryoctl.cli.output import flush, prepare_streams, put, put_json, say, unwritten

NO_ANSWER = 5
"""Exit code of a command that succeeded, but whose answer could not be written to stdout."""

app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        put(f"cryoctl {version('cryoctl')}")
        raise typer.Exit


@app.callback()
def overview(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Dose-limited, rehearsable, crash-surviving experiments on cryo electron microscopes.

    A first result, without a microscope: cryoctl run edx-tomography
    """


def call(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code; never raises for what a person can do."""
    unwritten.clear()
    code = _called(arguments)
    flush()
    return _lost(code) if unwritten else code


def _called(arguments: Sequence[str]) -> int:
    try:
        if not arguments:
            arguments = ["--help"]
        answer = typer.main.get_command(app)(args=list(arguments), prog_name="cryoctl", standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 5
    except BaseException as error:
        return _ended(error, arguments)
    code = answer if isinstance(answer, int) else 0
    return _ended(KeyboardInterrupt(), arguments) if code == 130 else code  # 130: typer's answer to Ctrl-C


def _lost(code: int) -> int:
    """The answer did not reach its reader: that is told, and no success, whatever the command itself came to."""
    run_file = begun_run()
    kept = f"the run file is {run_file}" if run_file is not None else "see to the disk or the reader, then ask again"
    say(f"cryoctl: stdout: the answer could not be written ({unwritten[0]}); {kept}")
    return code or NO_ANSWER


def _ended(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell what was raised, in one sentence or one JSON object."""
    exit_code, message = explain(error)
    say(f"cryoctl: {message}")
    if _wants_json(arguments):
        put_json(refusal(exit_code, message))
    elif exit_code > 2 and (run_file := begun_run()) is not None:
        put(str(run_file))
    return exit_code


def _wants_json(arguments: Sequence[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def main() -> None:
    """`cryoctl` as installed."""
    prepare_streams()
    if not sys.warnoptions and not os.environ.get("CRYOCTL_DEBUG"):
        warnings.simplefilter("ignore")  # those of libraries tell an operator nothing
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
