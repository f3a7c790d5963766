"""``rvae-stem analyse IMAGE``, or ``python -m helpers``: from a microscope file to a report.

Nothing is imported here before the current folder has left the places where Python looks: of the
files that lie beside the data, downloaded perhaps, one may be named as a library.
"""

import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit status is that of `helpers.command.line.run`."""
    from .command.line import run

    return run(arguments)


def command() -> int:
    """Run the command line in a process of its own, which imports nothing from its folder."""
    here = os.path.realpath(os.curdir)
    sys.path[:] = [place for place in sys.path if os.path.realpath(place) != here]
    try:
        return main()
    except KeyboardInterrupt:  # before, or after, the command heeds signals itself
        print("stopped by SIGINT; nothing is left to tidy up", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(command())
