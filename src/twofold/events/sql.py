"""`SqlStore`: an `EventStore` in a database; here SQLite, in one file that many processes share.

The file is in WAL mode, so that reading never waits for writing, and every commit is synced to the disk before
`append` returns. SQLite lets one process write at a time, so offsets become visible in their order.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from twofold.core.errors import StoreError
from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.events.slates import LoggedSlate, Tally
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
SLATES = sa.Table(
    "slates",
    METADATA,
    sa.Column("offset", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("user", sa.Text, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
ASSIGNMENTS = sa.Table(
    "assignments",
    METADATA,
    sa.Column("experiment", sa.Text, primary_key=True),
    sa.Column("arm", sa.Text, primary_key=True),
    sa.Column("unit", sa.Text, primary_key=True),
    sa.Column("slate", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)
"""Lies in the order of its key, so that an experiment is summed up in one pass."""

APPEND = insert(EVENTS).on_conflict_do_nothing()
READ = (
    sa.select(EVENTS.c.offset, EVENTS.c.body)
    .where(EVENTS.c.offset > sa.bindparam("after"))
    .order_by(EVENTS.c.offset)
    .limit(sa.bindparam("limit"))
)
"""Made once: each event that comes is read by each worker, and to make the statement takes as long as to run it."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
decode_slate = msgspec.json.Decoder(LoggedSlate).decode


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
        self._writer = self._engine.execution_options(**WRITES)
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
            return connection.execute(APPEND, [_row(event) for event in events]).rowcount

    def read(self, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.read`."""
        with self._reading() as connection:
            return _stored(connection.execute(READ, {"after": after, "limit": limit}))

    def of_user(self, user: Id, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.of_user`."""
        return self._select(EVENTS.c.user == str(user), EVENTS.c.offset.desc(), limit)[::-1]

    def of_slate(self, slate: str, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.of_slate`."""
        return self._select(EVENTS.c.slate == slate, EVENTS.c.offset, limit)

    def of_ids(self, prefix: str, limit: int = 10_000) -> list[Stored]:
        """See `EventStore.of_ids`."""
        behind = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        where = sa.and_(EVENTS.c.id >= prefix, EVENTS.c.id < behind)
        return self._select(where, EVENTS.c.offset, limit)

    def log(self, slates: Sequence[LoggedSlate]) -> int:
        """See `EventStore.log`."""
        if not slates:
            return 0
        rows = [{"id": slate.id, "user": _spelled(slate.user), "body": encode(slate)} for slate in slates]
        arms = [
            {"experiment": one.experiment, "arm": one.arm, "unit": one.unit, "slate": slate.id}
            for slate in slates
            for one in slate.arms
        ]
        with self._writing("written") as connection:
            count = connection.execute(insert(SLATES).on_conflict_do_nothing(), rows).rowcount
            if arms:
                connection.execute(insert(ASSIGNMENTS).on_conflict_do_nothing(), arms)
            return count

    def slates(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, LoggedSlate]]:
        """See `EventStore.slates`."""
        query = sa.select(SLATES.c.offset, SLATES.c.body).where(SLATES.c.offset > after)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(SLATES.c.offset).limit(limit)).all()
        return [(offset, decode_slate(body)) for offset, body in rows]

    def tally(self, experiment: str, positive: Mapping[str, float]) -> list[Tally]:
        """See `EventStore.tally`; all of it is summed up in the database, which lets other threads work meanwhile."""
        with self._reading() as connection:
            return [Tally(**row) for row in connection.execute(_tallied(experiment, positive)).mappings()]

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
            return _stored(connection.execute(query))

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._told("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, what: str) -> Iterator[sa.Connection]:
        with self._told(what), self._writer.begin() as connection:
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


def _stored(rows: Iterable[sa.Row[int, bytes]]) -> list[Stored]:
    return [Stored(offset=offset, event=decode(body)) for offset, body in rows]


def _row(event: Event) -> dict[str, Any]:
    return {"id": event.id, "user": _spelled(event.user), "slate": event.slate, "body": encode(event)}


def _spelled(user: Id | None) -> str | None:
    return None if user is None else str(user)


def _tallied(experiment: str, positive: Mapping[str, float]) -> sa.Select[Any]:
    """Return the query that sums up an experiment: first the slates of each unit, then the units of each arm."""
    body = sa.cast(EVENTS.c.body, sa.Text)
    kind, value = sa.func.json_extract(body, "$.kind"), sa.func.json_extract(body, "$.value")
    wanted = sa.and_(kind.in_(positive), sa.or_(value.is_(None), value > sa.case(positive, value=kind)))
    hit = sa.exists().where(EVENTS.c.slate == ASSIGNMENTS.c.slate, wanted)
    units = (
        sa.select(
            ASSIGNMENTS.c.arm,
            sa.func.count().label("slates"),
            sa.func.sum(sa.cast(hit, sa.Integer)).label("positive"),
        )
        .where(ASSIGNMENTS.c.experiment == experiment)
        .group_by(ASSIGNMENTS.c.arm, ASSIGNMENTS.c.unit)
        .subquery()
    )
    rate = sa.cast(units.c.positive, sa.Float) / units.c.slates
    return (
        sa.select(
            units.c.arm,
            sa.func.count().label("units"),
            sa.func.sum(units.c.slates).label("slates"),
            sa.func.sum(units.c.positive).label("positive"),
            sa.func.sum(rate).label("total"),
            sa.func.sum(rate * rate).label("squares"),
        )
        .group_by(units.c.arm)
        .order_by(units.c.arm)
    )
