"""The command line: its commands, and the exit code of every way they can end."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Annotated

import typer

from byheart.cli import advise, audit, claims, measure, plan, report, store, study
from byheart.cli.console import CutShortError, error, say
from byheart.errors import InputError
from byheart.version import __version__

BAD_INPUT = 2
INTERRUPTED = 130

# From 0.26 on typer carries its own copy of click; both are reached through what typer exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_DISK = {
    errno.ENOSPC: "free some space and give the same command again",
    errno.EDQUOT: "free some space and give the same command again",
    errno.EFBIG: "allow larger files (ulimit -f) and give the same command again",
    errno.EROFS: "choose another folder",
    errno.EACCES: "choose another folder or change its permissions",
    errno.EPERM: "choose another folder or change its permissions",
}

app = typer.Typer(
    help="Does your network know its training data by heart?",
    epilog="Exit codes: 0 done, 1 a trial failed or --fail-if holds, 2 bad usage or input, "
    "130 interrupted.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("study")(study.study)
app.command("plan")(plan.plan)
app.command("claims")(claims.claims)
app.command("report")(report.report)
app.command("audit")(audit.audit)
app.command("advise")(advise.advise)
app.add_typer(measure.app, name="measure")
app.add_typer(store.app, name="store")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"byheart {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its words; those of this process if None.

    Returns:
        The exit code: 0 done, 1 a trial failed or a --fail-if condition holds, 2 bad usage or input
        (one line on stderr says what is wrong and what would be right), 130 interrupted. Any other
        exception is a bug and keeps its traceback.
    """
    arguments = None if argv is None else list(argv)
    try:
        code = app(args=arguments, prog_name="byheart", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except CutShortError as stop:
        say(str(stop))
        return INTERRUPTED
    except InputError as problem:
        error(str(problem))
        return BAD_INPUT
    except OSError as problem:
        if problem.errno not in _DISK:
            raise
        error(f"{problem.filename or 'the output'}: {problem.strerror}: {_DISK[problem.errno]}")
        return BAD_INPUT
    except _UsageError as problem:
        error(_message(problem))
        return BAD_INPUT
    if code == INTERRUPTED:
        say("interrupted: finished trials are kept; give the same command to continue")
    return code if isinstance(code, int) else 0


def _message(problem: Exception) -> str:
    described = getattr(problem, "format_message", None)
    message = str(described() if described else problem).rstrip(".")
    context = getattr(problem, "ctx", None)
    return f"{message} (see {context.command_path if context else 'byheart'} --help)"
