"""How a command ends: every error is one sentence on stderr, and a code."""

from __future__ import annotations

import errno
import sys

import click

from ekd.spec.errors import EkdError, EnvironmentProblem

FAILED, INTERRUPTED = 1, 3


def run(command: click.Command, interrupted: str) -> None:
    """Run a command; `interrupted` is what is said where it is stopped.

    It ends with 2 for wrong usage or a wrong spec, 3 where it is interrupted, 4 for trouble with
    data, disk or network; FAILED is for a command that came to its end without all it was to do.
    """
    try:
        command(standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except EkdError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        sys.stdout = None  # or the same error comes at the very end
        click.echo(f"Error: cannot write the output: {error.strerror}: free the disk", err=True)
        sys.exit(EnvironmentProblem.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"\n{interrupted}", err=True)
        sys.exit(INTERRUPTED)
