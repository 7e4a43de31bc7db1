"""Workers on several machines: who lives, told by heartbeats in the database that they share.

A worker that can't tell the database that it lives ends its training by itself, before its lease is
over and another takes the job up. So no job is trained twice at once, whichever of the worker, its
machine and the network between fails.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from app.errors import StudioError

BEAT_SECONDS: Final = 2.0
FENCE_SECONDS: Final = 7.0
"""A worker whose last heartbeat is so long ago ends its training: that takes up to 5 s more."""

LEASE_SECONDS: Final = 15.0
"""A worker whose last heartbeat is so long ago is dead to the others. By the database's clock."""

CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 3
"""A statement, or a network that acknowledges nothing, gets so long; then a worker asks anew."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS plein_air_workers (
    id text PRIMARY KEY, machine text NOT NULL, beat timestamptz NOT NULL DEFAULT now()
)"""
_LOCK: Final = 0x706C6E61  # any number that nobody else in the database uses
_OLD: Final = f"beat < now() - interval '{LEASE_SECONDS} seconds'"


class Leases:
    """The workers' heartbeats.

    Args:
        url: Of a Postgres database.

    Raises:
        StudioError: If it can't be reached, or refuses to be written to.
    """

    def __init__(self, url: str) -> None:
        try:
            address = sa.make_url(url).set(drivername="postgresql+psycopg")
        except sa.exc.ArgumentError as error:
            # Not with the value: there is a password in it.
            raise StudioError(
                "DATABASE_URL is no database's address.",
                "It looks like postgresql://user:password@host:5432/name.",
            ) from error
        options = {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
            # Where all that was sent is acknowledged, only probes find that nobody is there.
            "keepalives_idle": ANSWER_SECONDS - 1,
            "keepalives_interval": 1,
        }
        self._engine = sa.create_engine(address, pool_pre_ping=True, connect_args=options)
        with self._asking() as connection:
            # Two that create a table at once would be in each other's way.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            connection.execute(sa.text(_TABLE))

    def begin(self, worker: str, machine: str) -> None:
        """Enter a new worker.

        Raises:
            StudioError: If the database can't be reached, or refuses.
        """
        with self._asking() as connection:
            connection.execute(
                sa.text("INSERT INTO plein_air_workers (id, machine) VALUES (:id, :machine)"),
                {"id": worker, "machine": machine},
            )

    def beat(self, worker: str) -> bool:
        """Tell that `worker` lives; False if the others took it for dead.

        It may take for ever: behind a proxy that froze, all that is sent is acknowledged.

        Raises:
            StudioError: If the database can't be reached, or refuses.
        """
        with self._asking() as connection:
            told = connection.execute(
                sa.text(f"UPDATE plein_air_workers SET beat = now() WHERE id = :id AND NOT {_OLD}"),
                {"id": worker},
            )
            return told.rowcount == 1

    def living(self) -> frozenset[str]:
        """The workers that live."""
        return self._those(f"NOT {_OLD}")

    def dead(self) -> frozenset[str]:
        """The workers that died and weren't forgotten yet."""
        return self._those(_OLD)

    def forget(self, worker: str) -> None:
        """Remove a worker that ended, or is dead and has no tasks any more."""
        with self._asking() as connection:
            connection.execute(
                sa.text("DELETE FROM plein_air_workers WHERE id = :id"), {"id": worker}
            )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _those(self, condition: str) -> frozenset[str]:
        with self._asking() as connection:
            rows = connection.execute(
                sa.text(f"SELECT id FROM plein_air_workers WHERE {condition}")
            )
            return frozenset(row.id for row in rows)

    @contextmanager
    def _asking(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                # For this transaction alone, as a pooler between may pass the session on.
                connection.execute(sa.text(f"SET LOCAL statement_timeout = '{ANSWER_SECONDS}s'"))
                yield connection
        except sa.exc.OperationalError as error:
            raise StudioError(
                "The database of jobs can't be reached.", "Start it, or mend DATABASE_URL."
            ) from error
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise StudioError(
                f"The database of jobs refuses: {reason}.",
                "Let DATABASE_URL name a server that takes writes, and a user who may write.",
            ) from error
