"""TensorFlow Serving: what its operator is given (bundle), and how a song gets there and back (client)."""

from typing import TYPE_CHECKING

from .address import Server, ServerAddress, ServerOptions, is_server

if TYPE_CHECKING:
    from .client import Description, ServingClient

__all__ = ["Description", "Server", "ServerAddress", "ServerOptions", "ServingClient", "is_server"]


def __getattr__(name: str):
    # An address needs no NumPy: `restore --help` and `import keras_audiosr` stay quick.
    if name in ("Description", "ServingClient"):
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
