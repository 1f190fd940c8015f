"""TensorFlow Serving: the bundle that a server loads, and the client that sends a song's windows to the server."""

from typing import TYPE_CHECKING, Any

from .address import Server, ServerAddress, ServerOptions, is_server

if TYPE_CHECKING:
    from .client import Description, ServingClient

__all__ = ["Description", "Server", "ServerAddress", "ServerOptions", "ServingClient", "is_server"]


def __getattr__(name: str) -> Any:
    # The client needs NumPy, and an address does not. Without this, `restore --help` would be slow.
    if name in ("Description", "ServingClient"):
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
