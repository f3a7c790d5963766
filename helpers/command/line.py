"""Read the command line, refuse at once what cannot work, and say in one line how it ended."""

import argparse
import math
import sys
import time
from contextlib import suppress
from functools import partial

from .stop import Stop, Stopped, until_stopped

SMALLEST_WINDOW_PX = 5  # in which a motif has a shape
LARGEST_SEED = 2**63 - 1


def run(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 if all went well; 2 after one line that says why not; after a signal that ended it 128
        more than its number, as shells count: 130 for Ctrl-C.
    """
    from .words import error_of_the_command

    try:
        said = until_stopped(partial(_analyse, arguments))
    except Stopped as stopped:
        _say(str(stopped), sys.stderr)
        return 128 + stopped.number
    except (ValueError, OSError) as error:  # both name the remedy
        _say(f"error: {error_of_the_command(str(error))}", sys.stderr)
        return 2
    _say(said, sys.stdout)
    return 0


def _analyse(arguments: list[str] | None, stop: Stop) -> str:
    """Do what is asked for; the line that says so."""
    options = vars(_parser().parse_args(arguments))
    from .analyse import analyse  # only now: what is wrong is refused before

    started_s = time.monotonic()
    folder = analyse(**options, stop=stop)
    duration_s = time.monotonic() - started_s
    return f"{folder / 'report.html'}: written in {duration_s:.0f} s"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are said as all others are."""

    def error(self, message: str) -> None:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("rvae-stem", description="Local symmetry in images.")
    commands = parser.add_subparsers(required=True, metavar="analyse")
    command = commands.add_parser("analyse", help="maps and a report")
    add = command.add_argument
    window_px = _whole(SMALLEST_WINDOW_PX)
    seed = _whole(0, LARGEST_SEED)
    add("image", help="any file that HyperSpy reads: image or stack")
    add("--folder", help="to be made; by default IMAGE_symmetry, here")
    add("--signal", help="index or title, where the file holds several")
    add("--pixel-size-nm", type=_length, help="in place of what the file says")
    add("--spacing-px", type=_length, help="of neighbouring columns, where no lattice is found")
    add("--lattice-nm", type=_length, help="a known lattice distance, as a check")
    add("--window-px", type=window_px, help="in place of the recommended size")
    add("--latent-dim", type=_whole(1), default=2, help="numbers besides the angle")
    add("--seed", type=seed, default=0, help="of the training, 0 by default")
    add("--skip-damaged", action="store_true", help="leave out the damaged frames of a stack")
    add("--untrusted", action="store_true", help="read within 60 s and 2 GiB: a damaged file?")
    add("--overwrite", action="store_true", help="replace what an earlier run wrote there")
    return parser


def _length(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 < value < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}, but a number greater than 0 is needed")


def _whole(least: int, most: float = math.inf):
    """A reader of whole numbers within limits."""
    limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"

    def read(text: str) -> int:
        with suppress(ValueError):
            value = int(text)
            if least <= value <= most:
                return value
        raise argparse.ArgumentTypeError(f"{text!r}, but a whole number {limits} is needed")

    return read


def _say(text: str, stream) -> None:
    """Print a line; what the terminal cannot show, or would be steered by, is written out."""
    encoding = stream.encoding or "utf-8"
    shown = [sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text]
    as_bytes = "".join(shown).encode(encoding, "backslashreplace")
    with suppress(OSError):  # nobody listens any more
        print(as_bytes.decode(encoding), file=stream, flush=True)
