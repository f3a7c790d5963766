"""Kernels that execute a notebook without a window: encrypted, and stopped without an interrupt."""

import os
from contextlib import suppress

import psutil
import zmq
from jupyter_client import AsyncKernelManager
from traitlets import default


class QuietKernelManager(AsyncKernelManager):
    """A kernel manager for ``nbclient`` and ``papermill``, whose kernels have nothing to warn of.

    As they are, a kernel warns that all is sent in plain text, and one that is interrupted while it
    answers for the last time says so. Nor does it import anything from the folder that it runs in.

    Attributes
    ----------
    process : subprocess.Popen
        The kernel, or what remains of it; None before it was started.
    """

    process = None

    @default("transport_encryption")
    def _encrypt_where_possible(self) -> str:
        can_encrypt = zmq.has("curve")
        return "auto" if can_encrypt else "disabled"

    async def start_kernel(self, **options) -> None:
        """Start the kernel; `options` are those of ``AsyncKernelManager``."""
        variables = options.pop("env", None) or os.environ
        await super().start_kernel(env={**variables, "PYTHONSAFEPATH": "1"}, **options)
        self.process = self.provisioner.process

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """Ask the kernel to end, and kill it if it does not within some seconds."""
        await self.request_shutdown(restart=restart)
        await self.finish_shutdown(restart=restart)
        await self.cleanup_resources(restart=restart)

    def kill_at_once(self) -> None:
        """End the kernel and all that it has started; any thread may call this."""
        if self.process is None or self.process.poll() is not None:
            return
        with suppress(psutil.NoSuchProcess):
            kernel = psutil.Process(self.process.pid)
            for process in [*kernel.children(recursive=True), kernel]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
