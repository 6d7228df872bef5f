"""The HTTP server, and the clients that ask it."""

from twofold.serve.app import create_app
from twofold.serve.running import run_server
from twofold.serve.settings import Settings

__all__ = ["Settings", "create_app", "run_server"]
