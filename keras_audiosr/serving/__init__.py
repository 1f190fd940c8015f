"""TensorFlow Serving: the bundle that a server loads, and the client that sends a song's windows to the server."""

from typing import TYPE_CHECKING, Any

from .address import Server, ServerAddress, ServerOptions, is_server

if TYPE_CHECKING:
    from .client import Description, ServingClient

__all__ = ["Description", "Server", "ServerAddress", "ServerOptions", "ServingClient", "is_server"]


def __getattr__(name: str) -> Any:
    # The client is imported only when it is used, because it imports NumPy, which would make `restore --help` slow.
    if name in ("Description", "ServingClient"):
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
