"""TensorFlow Serving: what its operator is given (bundle), and how a song gets there and back (client)."""

from .address import Server, ServerAddress, ServerOptions, is_server
from .client import Description, ServingClient

__all__ = ["Description", "Server", "ServerAddress", "ServerOptions", "ServingClient", "is_server"]
