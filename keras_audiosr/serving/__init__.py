"""TensorFlow Serving: the bundle for its operator, and the client that sends a song's windows to the server."""

from typing import TYPE_CHECKING, Any

from .address import Server, ServerAddress, ServerOptions, is_server

if TYPE_CHECKING:
    from .client import Description, ServingClient

__all__ = ["Description", "Server", "ServerAddress", "ServerOptions", "ServingClient", "is_server"]


def __getattr__(name: str) -> Any:
    # An address needs no NumPy: `restore --help` and `import keras_audiosr` stay quick.
    if name in ("Description", "ServingClient"):
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
