"""Kernels that execute a notebook without a window: encrypted, and stopped without an interrupt."""

import zmq
from jupyter_client import AsyncKernelManager
from traitlets import default


class QuietKernelManager(AsyncKernelManager):
    """A kernel manager for ``nbclient`` and ``papermill``, whose kernels have nothing to warn of.

    As they are, a kernel warns that all is sent in plain text, and one that is interrupted while it
    answers for the last time says so.
    """

    @default("transport_encryption")
    def _encrypt_where_possible(self) -> str:
        can_encrypt = zmq.has("curve")
        return "auto" if can_encrypt else "disabled"

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """Ask the kernel to end, and kill it if it does not within some seconds."""
        await self.request_shutdown(restart=restart)
        await self.finish_shutdown(restart=restart)
        await self.cleanup_resources(restart=restart)
