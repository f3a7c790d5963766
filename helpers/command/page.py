"""Execute the page "Analyse your own image" with the parameters of the command."""

import logging
import os
import signal
from importlib.metadata import files
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryDirectory

from ..kernel import QuietKernelManager
from .stop import Stop

PAGE = "21_analyse_image.ipynb"
REFUSALS = ("ValueError", "FileNotFoundError")  # whose words say all


def execute_page(parameters: dict, stop: Stop):
    """The notebook with all outputs.

    Parameters
    ----------
    parameters : dict
        Values of the names in the cell tagged ``parameters``.
    stop : Stop
        Ends it.

    Raises
    ------
    ValueError
        In the words of the error that the page ends with; or if the kernel dies.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    page = _page_for(parameters)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the errors say it all
    kernels = []
    with TemporaryDirectory(prefix="rvae-stem-") as desk:
        manager = _manager_of(kernels, Path(desk), stop)
        try:
            # As a node: of a path, papermill fills in what stands in braces.
            return execute_notebook(
                page,
                None,
                parameters,
                kernel_name="python3",
                kernel_manager_class=manager,
            )
        except PapermillExecutionError as error:
            message = error.evalue
            if error.ename not in REFUSALS:
                message = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            message = _how_it_ended(parameters["image"], kernels[-1].process.poll())
        except RuntimeError as error:  # it never answered
            message = f"the kernel did not start ({error}): try again, or install it anew"
    raise ValueError(message)


def _page_for(parameters: dict):
    """The notebook; a ValueError unless it has all of these parameters."""
    import nbformat
    from papermill import inspect_notebook

    page = nbformat.read(page_file(), as_version=4)
    unknown = parameters.keys() - inspect_notebook(page)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: the page {PAGE} has no such parameter")
    return page


def page_file() -> Path:
    """Where the page lies: in a checkout, or where the wheel has put it."""
    top = Path(__file__).resolve().parents[2]
    in_checkout = top / "book" / PAGE
    if in_checkout.is_file():
        return in_checkout
    installed = files("rvae-stem-book") or ()
    page = next(file for file in installed if file.name == PAGE)
    return Path(page.locate())


def _manager_of(kernels: list, desk: Path, stop: Stop) -> type[QuietKernelManager]:
    """A class of managers that are put on a list, and whose kernels work in an empty folder.

    What the kernels leave there, when they are killed perhaps, ends with the folder. What they say
    beside the cells, at their end or when they crash, is for nobody.
    """

    class DeskKernelManager(QuietKernelManager):
        async def start_kernel(self, **options) -> None:
            kernels.append(self)
            stop.watch(self)
            variables = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(desk))}
            variables.pop("MPLBACKEND", None)  # whose figures would not come back
            options |= {"cwd": str(desk), "env": variables, "stdout": DEVNULL, "stderr": DEVNULL}
            await super().start_kernel(**options)

    return DeskKernelManager


def _how_it_ended(image: str, status: int) -> str:
    """What to do about a kernel that ended before its time, with an exit status."""
    ended = signal.Signals(-status).name if status < 0 else f"status {status}"
    if ended == "SIGKILL":
        return f"the analysis of {image} was killed, as where memory runs out: crop it or bin it"
    return (
        f"{image} ended the process that analysed it ({ended}): is it damaged, or too large? "
        f"Export it again, crop it, or try untrusted=True, which reads it within limits"
    )
