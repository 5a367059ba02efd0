"""A private database: a clone of a recipe's template, with a login role of its own.

    recipe ── built once ──▶ template t_<hash> ── CREATE DATABASE ... TEMPLATE, tens of ms ──▶ w_<pid>_<random>
                                                                                                 │ owned through a group,
                                                                                                 ▼ reached by its own
                                                                                                 role only
                                                                                              SQLAlchemy engine

The role carries the database's name, which `pg_hba` pins it to; CONNECT is revoked from everybody else. The tables
belong to a group of which the role is a member, so that it may index, alter and drop them. A database goes with the
process that made it; what a killed kernel left behind is swept away by the next one.

Left out: sharing a database between kernels.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import platform
import secrets
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from filelock import FileLock

from workbook.engines import catalog, disk, places, profiles, running
from workbook.engines.catalog import Catalog
from workbook.engines.cluster import OWNERS, Cluster, cluster, crowded, no_entry
from workbook.engines.costs import Cost, cost_of
from workbook.engines.profiles import Profile
from workbook.engines.recipe import Recipe
from workbook.engines.running import Result
from workbook.errors import Misuse, SqlError, Unavailable

DISK_FULL = "53100"
SWEEPING = 0x776F726B  # the number of the lock that who sweeps holds

if TYPE_CHECKING:
    from workbook.engines.embedded import DuckDatabase, SqliteDatabase

_by_dialect: weakref.WeakKeyDictionary[sa.Dialect, Any] = weakref.WeakKeyDictionary()
# An engine's `execution_options(...)` makes another engine, which shares its dialect: the one object that both have.


class Database:
    """A database of PostgreSQL that is yours alone. `database(recipe)` makes one; as a context manager it is dropped
    at the end."""

    kind = "postgresql"

    def __init__(self, recipe: Recipe, home: Cluster) -> None:
        self.recipe, self.cluster, self.profile = recipe, home, home.profile
        template, mark = _template(home, recipe), home.mark
        self.name = f"w_{os.getpid()}_{_machine()}{mark}{secrets.token_hex(4)}"
        password = secrets.token_urlsafe(18)
        try:
            home.admin(f"CREATE ROLE {self.name} LOGIN PASSWORD '{password}' IN ROLE {OWNERS}")
            home.admin(f"CREATE DATABASE {self.name} TEMPLATE {template} STRATEGY file_copy")
            home.admin(f"REVOKE ALL ON DATABASE {self.name} FROM PUBLIC")
            home.admin(f"GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {self.name} TO {self.name}")
        except psycopg.Error as error:
            trouble = home.trouble(f"The database of {recipe.name} cannot be made.", error, mark)
            with contextlib.suppress(psycopg.Error, Unavailable):
                home.admin(f"DROP DATABASE IF EXISTS {self.name}")
                home.admin(f"DROP ROLE IF EXISTS {self.name}")
            raise trouble from None
        self._login = {"user": self.name, "password": password, "dbname": self.name}
        self.engine = sa.create_engine("postgresql+psycopg://", creator=self.connect, pool_pre_ping=True, pool_size=4)
        sa.event.listen(self.engine, "handle_error", self._lost)
        _by_dialect[self.engine.dialect] = self
        self._sessions: dict[int, weakref.ref[psycopg.Connection[Any]]] = {}
        self._dropped = False
        atexit.register(self.drop)

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection as the learner's role, with the profile's settings; the server is started again where it
        was killed. Raises `Unavailable` where `workbook clean` has removed the database, the disk is full, or the server
        has no connection left."""
        options = {"options": profiles.session_options(self.profile)} if profiles.SESSION[self.profile] else {}
        if places.WINDOWS and not self.cluster.url:
            self.cluster.known()  # another process may have started it on another port
        for last in (False, True):
            try:
                made = self.cluster.open(**self._login, **options)
                break
            except psycopg.OperationalError as error:
                if self._dropped:
                    raise
                self.cluster.see(self.name)
                if crowded(str(error)):
                    raise no_entry(str(error)) from None
                if last or self.cluster.answers():
                    if self.cluster.full(error):
                        raise disk.trouble("PostgreSQL cannot run it.", self.cluster.folder, error) from None
                    raise
                self.cluster.ensure()
        self._sessions[made.info.backend_pid] = weakref.ref(made)
        return made

    @property
    def gone(self) -> bool:
        """Whether `workbook clean` has removed the database."""
        try:
            self.cluster.see(self.name)
        except Unavailable:
            return True
        return False

    def _lost(self, context: sa.engine.ExceptionContext) -> None:
        """Tell whose session has ended that the database was removed, where it was."""
        if context.is_disconnect and not self._dropped:
            self.cluster.see(self.name)

    def settle(self) -> None:
        """Wait until the sessions that were closed have ended: a session may tell what it read only when it ends, and
        that is a moment after it was closed."""
        sessions = list(self._sessions.items())
        closed = {pid for pid, session in sessions if (known := session()) is None or known.closed}
        for pid in self.cluster.ended(closed):
            self._sessions.pop(pid, None)

    def fresh(self) -> Database:
        """Another clone of the same recipe."""
        return Database(self.recipe, self.cluster.ready())

    def drop(self) -> None:
        """Remove the database and its role; a second call does nothing."""
        if self._dropped:
            return
        self._dropped = True
        atexit.unregister(self.drop)
        self.engine.dispose()
        self.cluster.forget(self.name)
        if self.gone:
            return
        try:
            if self.cluster.answers():
                _drop(self.cluster, self.name)
                self.cluster.admin(f"DROP ROLE IF EXISTS {self.name}")
        except (psycopg.Error, Unavailable):
            pass  # the next process sweeps it away

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def run(
        self, sql: str, params: Mapping[str, Any] | None = None, *, deadline_s: float = 5.0, rows_max: int = 10_000
    ) -> Result:
        """Run a learner's SQL as the learner's role; several statements are one transaction, committed at the end, where
        PostgreSQL lets each of them be in one.

        Raises `SqlError`, `SqlTimeout` after `deadline_s` seconds (cancelled from outside), `TooManyRows` above
        `rows_max`; `Unavailable` where the disk is full, or `workbook clean` has removed the database.
        """
        try:
            return running.run_sql(self.connect(), sql, params, deadline_s, rows_max, self.cancel, self._relations)
        except SqlError as refusal:
            if refusal.sqlstate == DISK_FULL or (not refusal.sqlstate and "connection" in refusal.what):
                self.cluster.see(self.name)
                if self.cluster.full(refusal):
                    raise disk.trouble("PostgreSQL cannot run it.", self.cluster.folder, refusal) from None
            raise

    def cancel(self, pid: int, hard: bool) -> None:
        """Cancel what a session runs, or end the session where `hard`."""
        # On a connection of its own: the shared one may itself be waiting for what is cancelled here.
        with self.cluster.connect() as connection:
            connection.execute(f"SELECT pg_catalog.pg_{'terminate' if hard else 'cancel'}_backend({pid})")

    def _relations(self) -> list[str]:
        """The tables' and views' names, from a connection of its own: no lock of a table is waited for, and no other thread;
        none where the server does not answer within a second."""
        try:
            with self.cluster.connect(self.name) as connection:
                connection.execute("SET statement_timeout = '1s'")
                return [str(name) for (name,) in connection.execute(catalog.RELATIONS)]
        except psycopg.Error:
            return []

    def measure(
        self,
        work: str | Callable[[sa.Connection], Any],
        params: Mapping[str, Any] | None = None,
        *,
        deadline_s: float = 30.0,
    ) -> Cost:
        """The true cost of a transaction that is committed: SQL text, or a function that is given a connection.

        Raises `SqlError`, `SqlTimeout` after `deadline_s` seconds, `Unsuitable` on a server older than PostgreSQL 18.
        """
        return cost_of(self, work, params, deadline_s)

    def catalog(self) -> Catalog:
        """What the database holds now; `catalog().difference(later)` says what changed."""
        return catalog.catalog_of({kind: self.cluster.admin(sql, self.name) for kind, sql in catalog.QUERIES.items()})

    def relation_bytes(self, name: str) -> int:
        """Bytes of a table or an index on disk."""
        sql = f"SELECT pg_catalog.pg_relation_size(c.oid) FROM pg_catalog.pg_class c WHERE c.relname = {sa.literal(name).compile(compile_kwargs={'literal_binds': True})}"
        rows = self.cluster.admin(sql, self.name)
        if not rows:
            raise Misuse(f"There is no table and no index named {name}.")
        return int(rows[0][0])

    def vacuum(self, *, analyze: bool = True) -> None:
        """VACUUM all tables, with ANALYZE unless told otherwise, as the learner's role."""
        self.run("VACUUM (ANALYZE)" if analyze else "VACUUM", deadline_s=120)

    def checkpoint(self) -> None:
        """CHECKPOINT, so that the next change to each page writes a page image where `full_page_writes` is on."""
        self.cluster.admin("CHECKPOINT")


def _template(home: Cluster, recipe: Recipe) -> str:
    """The name of the recipe's template, made where it is missing; one process at a time makes it. Raises `Unavailable`
    where its disk is full, or `clean` removes it meanwhile."""
    name = f"t_{recipe.key}"
    known = f"SELECT 1 FROM pg_catalog.pg_database WHERE datname = '{name}' AND datistemplate"
    if home.admin(known):
        return name
    with FileLock(str(home.folder / f"{name}.lock"), timeout=600):
        if home.admin(known):
            return name
        mark = home.mark
        try:
            _make(home, recipe, name)
        except (psycopg.OperationalError, OSError) as error:
            trouble = home.trouble(f"The data of {recipe.name} cannot be made.", error, mark)
            with contextlib.suppress(psycopg.Error, Unavailable):
                home.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # its room is needed
            raise trouble from None
    return name


def _make(home: Cluster, recipe: Recipe, name: str) -> None:
    home.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    locale = "ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"  # as in a cluster of ours, whatever the server's is
    home.admin(f"CREATE DATABASE {name} TEMPLATE template0 {locale} STRATEGY file_copy")
    home.admin(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    from workbook.engines.loading import load

    with contextlib.closing(home.connect(name)) as connection:
        load(connection, recipe)
    if home.profile == "counting" or recipe.vacuum:
        home.admin("CHECKPOINT")
    home.admin(f"ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")


def _drop(home: Cluster, name: str) -> None:
    """Drop a database. What is prepared in it is rolled back before: no FORCE ends that."""
    prepared = f"SELECT pg_catalog.quote_literal(gid) FROM pg_catalog.pg_prepared_xacts WHERE database = '{name}'"
    for (gid,) in home.admin(prepared):
        home.admin(f"ROLLBACK PREPARED {gid}", name)
    home.forget(name)
    home.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _machine() -> str:
    """Four hexadecimal digits of this machine's name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def sweep(home: Cluster) -> None:
    """Make the group of owners, and drop the databases and roles of processes that are gone, unless another process is
    at it. What cannot be dropped is left to the next one."""
    if not home.admin(f"SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = '{OWNERS}'"):
        try:
            home.admin(f"CREATE ROLE {OWNERS} NOLOGIN")
        except psycopg.errors.DuplicateObject:
            pass
        except psycopg.errors.UniqueViolation:
            pass
    if not home.admin(f"SELECT 1 WHERE pg_catalog.pg_try_advisory_lock({SWEEPING})"):
        return
    try:
        _sweep(home)
    finally:
        home.admin(f"SELECT pg_catalog.pg_advisory_unlock({SWEEPING})")


def _sweep(home: Cluster) -> None:
    import psutil

    roles = [row[0] for row in home.admin("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname ~ '^w_[0-9]+_'")]
    for role in roles:
        if home.url and not role.split("_")[2].startswith(_machine()):
            continue  # a process of another machine, on a server that both use
        if not psutil.pid_exists(int(role.split("_")[1])):
            with contextlib.suppress(psycopg.Error):
                _drop(home, role)
                home.admin(f"DROP ROLE IF EXISTS {role}")


def database(recipe: Recipe, *, kind: str = "postgresql", profile: Profile = "counting") -> Any:
    """A private clone of a recipe: a `Database` of PostgreSQL, SQLite or DuckDB, by `kind`.

    Raises `Misuse` for an unknown kind or profile, `Unavailable` where the engine cannot be had.
    """
    if kind == "postgresql":
        return Database(recipe, cluster(profile))
    from workbook.engines.embedded import DuckDatabase, SqliteDatabase

    kinds: dict[str, type[SqliteDatabase] | type[DuckDatabase]] = {"sqlite": SqliteDatabase, "duckdb": DuckDatabase}
    if kind not in kinds:
        raise Misuse(f"There is no engine {kind!r}.", next="use postgresql, sqlite or duckdb")
    made = kinds[kind](recipe)
    _by_dialect[made.engine.dialect] = made
    return made


def database_of(engine: sa.Engine) -> Any:
    """The database that an engine came from, or the one whose `execution_options(...)` made it. Raises `Misuse` for what
    is no engine, or not one of ours."""
    if isinstance(engine, sa.Engine) and engine.dialect in _by_dialect:
        return _by_dialect[engine.dialect]
    raise Misuse("This is no engine of the workbook.", next="use one that shop(), tpch() or practice() gave")


def measure(
    work: str | Callable[[sa.Connection], Any], engine: sa.Engine, params: Mapping[str, Any] | None = None
) -> Cost:
    """The true cost of a transaction on an engine of the workbook: see `Database.measure`. Raises what that does, and
    `Misuse` for what is no engine of ours."""
    return database_of(engine).measure(work, params)
