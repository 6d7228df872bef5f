"""`SqlStore`: an `EventStore` in a database; here SQLite, in one file that many processes share.

The file is in WAL mode, so that reading never waits for writing, and every commit is synced to the disk before
`append` returns. SQLite lets one process write at a time, so offsets become visible in their order.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from twofold.core.errors import StoreError
from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.events.store import Stored

__all__ = ["SqlStore"]

VERSION = 1
PATIENCE = 10.0
"""Seconds that a writer waits for others."""
WRITES = {"twofold_writes": True}
"""Marks a connection whose transaction takes the lock for writing when it begins: one that read first could not."""

METADATA = sa.MetaData()
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("offset", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("user", sa.Text, index=True),
    sa.Column("slate", sa.Text, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
"""`user` is the id as it is spelled; `body` is the whole event as JSON."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


class SqlStore:
    """An `EventStore` in a SQLite file, which is made if it is missing.

    Args:
        path: the file; its folder must exist, on a local disk.

    Raises:
        StoreError: the file cannot be opened, or is no event store of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._watching = threading.Lock()
        self._watch: sa.PoolProxiedConnection | None = None
        self._version: int | None = None
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": PATIENCE, "check_same_thread": False}
        )
        sa.event.listen(self._engine, "connect", _prepare)
        sa.event.listen(self._engine, "begin", _begin)
        with self._writing("opened") as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found not in (0, VERSION):
                raise StoreError(f"{path} is an event store of version {found}, not {VERSION}; give another file.")
            METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    def append(self, events: Sequence[Event]) -> int:
        """See `EventStore.append`."""
        if not events:
            return 0
        with self._writing("written") as connection:
            return connection.execute(
                insert(EVENTS).on_conflict_do_nothing(), [_row(event) for event in events]
            ).rowcount

    def read(self, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.read`."""
        return self._select(EVENTS.c.offset > after, EVENTS.c.offset, limit)

    def of_user(self, user: Id, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.of_user`."""
        return self._select(EVENTS.c.user == str(user), EVENTS.c.offset.desc(), limit)[::-1]

    def of_slate(self, slate: str, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.of_slate`."""
        return self._select(EVENTS.c.slate == slate, EVENTS.c.offset, limit)

    def end(self) -> int:
        """See `EventStore.end`."""
        with self._reading() as connection:
            return connection.execute(sa.select(sa.func.max(EVENTS.c.offset))).scalar_one() or 0

    def changed(self) -> bool:
        """See `EventStore.changed`; SQLite counts the commits of others for each connection, so one is kept for it."""
        with self._told("read"), self._watching:
            if self._watch is None:
                self._watch = self._engine.raw_connection()
            found = self._watch.cursor().execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, found
        return bool(found != before)

    def close(self) -> None:
        """See `EventStore.close`."""
        with self._watching:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
        self._engine.dispose()

    def _select(self, where: Any, order: Any, limit: int) -> list[Stored]:
        query = sa.select(EVENTS.c.offset, EVENTS.c.body).where(where).order_by(order).limit(limit)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [Stored(offset=offset, event=decode(body)) for offset, body in rows]

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._told("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, what: str) -> Iterator[sa.Connection]:
        with self._told(what), self._engine.execution_options(**WRITES).begin() as connection:
            yield connection

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say in one sentence what a database could not do."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            said = getattr(error, "orig", error)
            raise StoreError(f"{self.path} cannot be {what} ({said}); check the file and its disk.") from error


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # `_begin` begins transactions
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin(connection: sa.Connection) -> None:
    writes = WRITES.keys() <= connection.get_execution_options().keys()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _row(event: Event) -> dict[str, Any]:
    user = None if event.user is None else str(event.user)
    return {"id": event.id, "user": user, "slate": event.slate, "body": encode(event)}
