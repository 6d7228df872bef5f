"""Twofold: search and recommendation in one call."""

from typing import TYPE_CHECKING, Any

from twofold.core import Pipeline, Query, Slate

if TYPE_CHECKING:
    from twofold.serve.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "Pipeline", "Query", "Slate"]


def __getattr__(name: str) -> Any:
    """Import the clients only where they are used: they need the extra `serve`."""
    if name not in ("AsyncClient", "Client"):
        raise AttributeError(f"module 'twofold' has no attribute {name!r}")
    from twofold.core.errors import needed_for  # noqa: PLC0415

    with needed_for(f"twofold.{name}", "serve"):
        from twofold.serve import client  # noqa: PLC0415
    return getattr(client, name)
