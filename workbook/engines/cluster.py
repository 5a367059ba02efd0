"""The PostgreSQL clusters: one a profile, shared by all of a person's kernels, started when they are asked for.

    cluster("counting") ── answers? ──▶ use it
                           └─ no ── lock ── initdb? ── pg_ctl start ── recovered? ──▶ use it
    nobody for half an hour ──▶ the watcher stops it
    `workbook clean`        ──▶ it is gone; who asks next makes another, with another mark

Whether a server lives is found out by connecting, never by a pid file. Passwords are SCRAM, the superuser's too;
`pg_hba` lets a role into the database of its own name and into no other. The superuser's connections have an empty
search_path and touch only `pg_catalog`. A process may live longer than its cluster: a database's name holds its
cluster's mark, so that who still asks for it is told what became of it. With `WORKBOOK_POSTGRES_URL` a server of the person's own is used instead (as
a superuser, from PostgreSQL 15 on); `refusals()` says why its counters would differ, and inside `graded()` such a
server is refused.

    >>> Cluster.__name__
    'Cluster'

Left out: replicas (a later module brings its own clusters).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import psycopg
from filelock import FileLock
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from workbook.engines import disk, places, profiles
from workbook.engines.profiles import Profile
from workbook.errors import Crowded, Misuse, Unavailable, Unsuitable, WorkbookError

START_S_MAX = 120
END_S_MAX = 10
SOCKET_PATH_MAX = 89  # bytes: macOS takes 103 for the socket in it, Linux 107
FACTS = "cluster.json"
OWNERS = "workbook_owners"
OLDEST = 15  # CREATE DATABASE ... STRATEGY, pg_stat_force_next_flush
PASSING = ("the database system is", "terminating connection")  # it starts, recovers or stops
REMOVED = "The databases were removed by `workbook clean`."
PORT = 5432  # on Windows another one, each time
HOW = "postgresql://postgres:password@localhost:5432/postgres"
SETTINGS = """SELECT name, setting, unit, pg_catalog.current_setting(name), boot_val, category LIKE 'Query Tuning%'
    FROM pg_catalog.pg_settings ORDER BY name"""


class _Judging(threading.local):
    """How many judges are at work in this thread."""

    depth = 0


_judging = _Judging()


class Cluster:
    """One cluster of one profile. `cluster()` gives it; nothing else makes one."""

    def __init__(self, profile: Profile, url: str = "") -> None:
        self.profile, self.url = profile, url
        self._admins: dict[str, psycopg.Connection[Any]] = {}
        self._guard = threading.RLock()
        self.folder = places.servers_folder() / f"{profile}-{places.MAJOR}"
        self.server = self.folder / "server"
        self._facts: dict[str, Any] = {}
        self._swept = ""  # the password of the cluster that has its group of owners
        self._refused = ""  # why there was no connection the last time

    def address(self) -> dict[str, Any]:
        """Where the server answers, as keyword arguments for psycopg (no user, no database)."""
        if self.url:
            url = self._url()
            query = {key: value for key, value in url.query.items() if key in ("host", "port", "sslmode")}
            plain = {"host": url.host, "port": url.port} | query
            return {key: value for key, value in plain.items() if value is not None}
        return {"host": self._facts["host"], "port": self._facts["port"]}

    def open(self, **login: Any) -> psycopg.Connection[Any]:
        """A connection, to which nothing leads that the person has set for servers of their own."""
        with nullcontext() if self.url else places.undisturbed():
            return psycopg.connect(**self.address(), **login)

    def connect(self, dbname: str = "postgres", *, timeout_s: int = 5) -> psycopg.Connection[Any]:
        """A superuser's connection with an empty search_path, in autocommit. Raises `Unavailable` where the database was
        removed together with its cluster."""
        if self.url:
            url = self._url()
            user, password = url.username, url.password
            dbname = url.database or "postgres" if dbname == "postgres" else dbname
        else:
            user, password = "postgres", self._facts["password"]
        try:
            return self.open(
                user=user,
                password=password,
                dbname=dbname,
                autocommit=True,
                connect_timeout=timeout_s,
                options="-c search_path= -c timezone=UTC -c datestyle=ISO,MDY",
                application_name="workbook",
            )
        except psycopg.OperationalError:
            self.see(dbname)
            raise

    def ready(self) -> Cluster:
        """See that the cluster is the one that this process has worked with, at the price of reading a small file; else
        make or take the one that is to be used from now on. Raises `Unavailable`."""
        if not self._swept or not (self.url or (self.known() and self._swept == self._facts["password"])):
            self.ensure()
        return self

    def ensure(self) -> Cluster:
        """See that the server answers: make it, start it, or wait for its recovery. Raises `Unavailable`."""
        if self.url:
            self._use()
        elif not (self.known() and self.answers()):
            try:
                with self._locked():
                    if not self.known():
                        self._make()
                    if not self.answers():
                        self._start()
            except OSError as error:
                raise disk.trouble(
                    f"The PostgreSQL server of the profile {self.profile} cannot be had.",
                    self.folder,
                    error,
                    next="run `workbook doctor`",
                ) from None
        self._sweep()
        return self

    def _sweep(self) -> None:
        """Once for each cluster: make the group of owners, and drop what processes left behind that are gone."""
        mark = self.url or self._facts["password"]
        if self._swept == mark:
            return
        from workbook.engines.database import sweep

        with self._guard:
            before, self._swept = self._swept, mark  # at once: sweeping may come here again
            try:
                for dbname in list(self._admins):
                    self.forget(dbname)
                sweep(self)
            except BaseException:
                self._swept = before
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the cluster's folder, which is made where it is missing."""
        while True:
            places.own(self.folder.parent)
            places.own(self.folder)
            lock = FileLock(str(self.folder / "lock"), timeout=START_S_MAX)
            try:
                lock.acquire()
            except FileNotFoundError:
                continue  # the folder was removed while its lock was waited for
            break
        try:
            yield
        finally:
            lock.release()

    @property
    def mark(self) -> str:
        """Six hexadecimal digits that tell a cluster from the next one in its folder; '' for one of a URL."""
        return "" if self.url else str(self._facts.get("mark", ""))

    def see(self, dbname: str) -> None:
        """Raise `Unavailable` where a database's cluster was removed while this process lived."""
        if dbname.startswith("w_") and self.other(dbname.split("_")[2][4:-8]):
            raise Unavailable(REMOVED, next="run the cell that made this engine again")

    def other(self, mark: str) -> bool:
        """Whether there is another cluster by now, or none, than the one of this mark."""
        return not self.url and not (self.known() and self.mark == mark)

    def trouble(self, what: str, error: Exception, mark: str) -> Unavailable:
        """What to raise where something of the cluster of this mark failed: it was removed, the disk is full, or what the
        error says."""
        if self.other(mark):
            return Unavailable(f"{what.rstrip('.')}: {REMOVED[0].lower()}{REMOVED[1:]}", next="run it again")
        if self.url:  # whose disk is not ours
            return Unavailable(what, tried=str(error).strip().split("\n")[0], next="run `workbook doctor`")
        return disk.trouble(what, self.folder, error, next="run `workbook doctor`")

    def full(self, error: Exception) -> bool:
        """Whether the disk of the server is full; of that of a URL's nothing is known."""
        return not self.url and disk.is_full(self.folder, error)

    def known(self) -> bool:
        """Whether the cluster has been made; where its server answers, if it runs, is known from then on."""
        try:
            self._facts = json.loads(places.patient((self.folder / FACTS).read_text))
        except (FileNotFoundError, ValueError):  # a power cut may leave it empty
            return False
        return True

    def _url(self) -> URL:
        try:
            return make_url(self.url)
        except (ArgumentError, ValueError):
            raise Misuse("WORKBOOK_POSTGRES_URL is no URL of a database.", next=f"write it as {HOW}") from None

    def _use(self) -> Cluster:
        """See that the server of the URL answers, is new enough, and lets its user make databases and roles."""
        try:
            connection = self.connect()
        except psycopg.OperationalError as error:
            raise Unavailable(
                "The server of WORKBOOK_POSTGRES_URL does not answer.",
                tried=str(error).strip().splitlines()[0],
                next="correct the URL, or unset it to use the server that comes along",
            ) from None
        with connection:
            major = connection.info.server_version // 10_000
            row = connection.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
        if major < OLDEST:
            raise Unsuitable(
                f"The server of WORKBOOK_POSTGRES_URL is PostgreSQL {major}; {OLDEST} is the oldest that can be used.",
                next=f"let it name a PostgreSQL {places.MAJOR}, or unset it to use the server that comes along",
            )
        if not row or not row[0]:
            raise Unsuitable(
                "The user of WORKBOOK_POSTGRES_URL is no superuser, and cannot make databases with a role of their own.",
                next="let it name a superuser, or unset it to use the server that comes along",
            )
        return self

    def answers(self) -> bool:
        """Whether a connection is to be had."""
        try:
            self.connect(timeout_s=2).close()
        except psycopg.OperationalError as error:
            self._refused = str(error).strip()
            return False
        return True

    def admin(self, sql: str, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as superuser and give its rows; the server is started again where it was killed. Raises what
        psycopg does, and `Unavailable`."""
        with self._guard:
            for attempt in range(2):
                try:
                    connection = self._admins.get(dbname)
                    if connection is None or connection.closed:
                        connection = self._admins[dbname] = self.connect(dbname)
                    cursor = connection.execute(sql)
                    return cursor.fetchall() if cursor.description else []
                except psycopg.OperationalError as error:
                    if attempt or error.sqlstate not in (None, "57P01", "57P02", "57P03"):
                        raise
                    self.forget(dbname)
                    self.see(dbname)
                    self.ensure()
        raise AssertionError("unreachable")

    def alive(self, pids: Iterable[int]) -> set[int]:
        """Those of these sessions, by the number of their process, that are there."""
        if not (asked := ", ".join(map(str, pids))):
            return set()
        return {
            int(pid) for (pid,) in self.admin(f"SELECT pid FROM pg_catalog.pg_stat_activity WHERE pid IN ({asked})")
        }

    def end(self, pids: Iterable[int]) -> None:
        """End these sessions, and wait until they are gone. (`pg_terminate_backend` waits too, by tenths of a second.)"""
        ending = set(pids)
        for pid in ending:
            self.admin(f"SELECT pg_catalog.pg_terminate_backend({pid})")
        self.ended(ending)

    def ended(self, pids: Iterable[int]) -> set[int]:
        """Wait until these sessions, which are about to end, are gone; those that are. It waits for ten seconds at most."""
        ending, until = set(pids), time.monotonic() + END_S_MAX
        left = self.alive(ending)
        while left and time.monotonic() < until:
            time.sleep(0.001)
            left = self.alive(left)
        return ending - left

    def forget(self, dbname: str) -> None:
        """Close the superuser's connection to a database, so that it can be dropped."""
        connection = self._admins.pop(dbname, None)
        if connection is not None:
            connection.close()

    @property
    def version(self) -> str:
        """The server's version, such as `18.4`."""
        return str(self.admin("SHOW server_version")[0][0]).split()[0]

    def refusals(self) -> list[str]:
        """Why grading cannot trust this server's counters, as sentences; empty where it can."""
        if not self.url:
            return []
        reasons = []
        if int(self.version.split(".")[0]) != places.MAJOR:
            reasons.append(f"it is PostgreSQL {self.version}, and grades are counted on {places.MAJOR}")
        asked = profiles.graded(self.profile)
        for name, setting, unit, shown, boot, planner in self.admin(SETTINGS):
            wanted = asked.get(name.lower(), boot if planner else setting)
            if not profiles.same_setting(wanted, setting, unit):
                reasons.append(f"{name} is {shown or 'empty'}, and must be {wanted}")
        return reasons

    def stop(self, *, fast: bool = True) -> bool:
        """Stop the server; whether it ran. A server of WORKBOOK_POSTGRES_URL is left alone."""
        for dbname in list(self._admins):
            self.forget(dbname)
        if self.url or not (self.server / "data").exists():
            return False
        done = _program("pg_ctl", "-D", str(self.server / "data"), "-m", "fast" if fast else "smart", "-w", "stop")
        return done == 0

    @contextmanager
    def removed(self) -> Iterator[bool]:
        """Stop the server and remove the cluster, and see that nobody makes another in here; whether there was one."""
        there = self.folder.exists()
        with self._locked():
            socket = Path(self._facts["host"]) if self.known() and not places.WINDOWS else self.server
            (self.folder / FACTS).unlink(missing_ok=True)  # first: whose session ends sees why
            self.stop()
            for folder in (self.server, socket):
                shutil.rmtree(folder, ignore_errors=True)
            try:
                yield there
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)
        if places.WINDOWS:  # which keeps the lock's file while it is held
            with suppress(OSError):
                (self.folder / "lock").unlink(missing_ok=True)
                self.folder.rmdir()

    def _make(self) -> None:
        """initdb, the settings of the profile, and who may come in."""
        shutil.rmtree(self.server, ignore_errors=True)
        self.server.mkdir()
        places.give_to_server(self.server, 0o700)
        password, file = secrets.token_urlsafe(24), self.folder / "first-password"
        file.touch(mode=0o600)
        file.write_text(password)
        places.give_to_server(file, 0o600)
        data = self.server / "data"
        sums = "--no-data-checksums" if self.profile == "counting" else "--data-checksums"
        try:
            # Iterations slow down who guesses; our passwords are drawn at random, and none is guessed.
            safe = ["-A", "scram-sha-256", "-c", "scram_iterations=1", "-U", "postgres", "--pwfile", str(file)]
            plain = ["-N", sums, "--locale=C", "-E", "UTF8"]
            done = _program("initdb", "-D", str(data), *safe, *plain, said=self.folder / "initdb")
        finally:
            file.unlink()
        if done:
            said = (self.folder / "initdb").read_text(errors="replace").strip().splitlines()[-1:]
            trouble = disk.trouble(
                f"A PostgreSQL cluster cannot be made in {self.folder}.",
                self.folder,
                said=f"initdb, which ended with {done}: {' '.join(said)}",
                next="run `workbook doctor`",
            )
            shutil.rmtree(self.server, ignore_errors=True)
            raise trouble
        host = self._place()
        lines = {**profiles.GUARDS, **profiles.SERVER[self.profile], **profiles.SESSION[self.profile]}
        lines["listen_addresses"] = "127.0.0.1" if places.WINDOWS else ""
        if not places.WINDOWS:
            lines |= {"unix_socket_directories": host, "unix_socket_permissions": "0777"}
        with (data / "postgresql.conf").open("a") as out:
            out.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        kind = "host {} {} 127.0.0.1/32 scram-sha-256\n" if places.WINDOWS else "local {} {} scram-sha-256\n"
        (data / "pg_hba.conf").write_text(kind.format("all", "postgres") + kind.format("sameuser", "all"))
        self._tell({"host": host, "port": PORT, "password": password, "mark": secrets.token_hex(3)})

    def _tell(self, facts: dict[str, Any]) -> None:
        """Write down where the server answers, and how: at once, for others read it without the lock."""
        self._facts = facts
        draft = self.folder / f"{FACTS}.draft"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(self._facts))
        places.patient(lambda: draft.replace(self.folder / FACTS))

    def _place(self) -> str:
        """The folder of the server's socket; on Windows the address on which it listens."""
        if places.WINDOWS:
            return "127.0.0.1"
        if len(os.fsencode(self.server)) <= SOCKET_PATH_MAX:
            return str(self.server)
        mark = hashlib.sha256(str(self.server).encode()).hexdigest()[:16]
        return str(Path(tempfile.gettempdir()) / f"workbook-{mark}")

    def _at(self) -> list[str]:
        """See that the server can answer where it is to answer; what `pg_ctl` is told of it. A port that was free the
        last time may be another program's by now, and a temporary folder may be gone."""
        if places.WINDOWS:
            try:  # a server that runs, and only does not answer at the moment, stays where it is
                port = int((self.server / "data" / "postmaster.pid").read_text().splitlines()[3])
            except (OSError, ValueError, IndexError):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    port = int(probe.getsockname()[1])
            self._tell(self._facts | {"port": port})
            return ["-o", f"-p {self._facts['port']}"]
        if (folder := Path(self._facts["host"])) != self.server:
            places.open_to_server(folder)
        return []

    def _start(self) -> None:
        log, lock = self.server / "log", self.server / "data" / "postmaster.pid"
        deadline = time.monotonic() + START_S_MAX
        while True:
            self._drop_stale_lock()
            known = log.stat().st_size if log.exists() else 0
            waits = ["-w", "-t", str(START_S_MAX)]
            _program("pg_ctl", "-D", str(self.server / "data"), "-l", str(log), *waits, *self._at(), "start")
            if self.answers():
                return self._watch()
            if "FATAL:" in self._refused and not any(said in self._refused for said in PASSING):
                raise no_entry(self._refused)
            text = log.read_bytes()[known:].decode(errors="replace") if log.exists() else ""
            said = text.strip().splitlines()[-3:]
            # After a kill, the dead server's backends may still be on their way out; only that is worth another try.
            leaving = "still in use" in text or ("lock file" in text and "No space" not in text)
            leaving = leaving or (places.WINDOWS and lock.exists())  # which lets no second server write the log
            if not leaving or not disk.left_mb(self.folder) or time.monotonic() > deadline:
                raise disk.trouble(
                    f"The PostgreSQL server of the profile {self.profile} does not start.",
                    self.folder,
                    said=f"pg_ctl start; its log ends: {' / '.join(said)}",
                    next="run `workbook doctor`, or `workbook clean` and try again",
                )

    def _drop_stale_lock(self) -> None:
        """Remove the pid file of a server that is gone: PostgreSQL takes any living process of that number for itself."""
        file = self.server / "data" / "postmaster.pid"
        try:
            number = int(file.read_text().split()[0])
            process = psutil.Process(number)
            gone = process.status() == psutil.STATUS_ZOMBIE or "postgres" not in process.name()
        except (OSError, ValueError, IndexError):
            return
        except psutil.NoSuchProcess:
            gone = True
        if gone:
            file.unlink(missing_ok=True)

    def _watch(self) -> None:
        """Leave a process behind that stops the server once nobody has used it for a while."""
        subprocess.Popen(
            [sys.executable, "-m", "workbook.engines.watch", self.profile, str(self.folder)],
            cwd="/" if not places.WINDOWS else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **places.apart(),
        )


def _program(name: str, *arguments: str, said: Path | None = None) -> int:
    """Run one of PostgreSQL's programs as the server's user; its exit code. What it says goes into a file, or nowhere."""
    who = places.servant()
    with open(said or os.devnull, "wb") as out:
        done = subprocess.run(
            [str(places.binaries() / places.program_name(name)), *arguments],
            cwd="/" if not places.WINDOWS else None,
            env=places.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            **(who.popen() if who else {}),
            **places.apart(),
        )
    return done.returncode


def crowded(said: str) -> bool:
    """Whether a server that refused a connection has none left to give."""
    return "connection slots are reserved" in said or "too many clients" in said


def no_entry(said: str) -> Unavailable:
    """What to raise where a server that runs lets nobody in, by what it said."""
    if crowded(said):
        many = "restart the kernels of the notebooks that you no longer need, and this one's where it made many engines"
        return Crowded("The PostgreSQL server has no connection left: each engine keeps one or more.", next=many)
    why = said.partition("FATAL:")[2].strip().split("\n")[0]
    return Unavailable(
        "The PostgreSQL server runs, but lets nobody in.", tried=why, next="run `workbook clean` and try again"
    )


@cache
def _cluster(profile: Profile, url: str, state: str) -> Cluster:
    return Cluster(profile, url)


def cluster(profile: Profile = "counting") -> Cluster:
    """The cluster of a profile, running. Raises `Unavailable` where it cannot be started, `Misuse` for an unknown
    profile."""
    if profile not in profiles.SERVER:
        raise Misuse(f"There is no profile {profile!r}.", next=f"use one of {', '.join(profiles.SERVER)}")
    home = _cluster(profile, os.environ.get("WORKBOOK_POSTGRES_URL", ""), str(places.state_folder())).ready()
    if home.url and _judging.depth and (reasons := home.refusals()):
        raise Unsuitable(
            f"Grades cannot be counted on the server of WORKBOOK_POSTGRES_URL: {'; '.join(reasons)}.",
            next="set it so and start the server again, or unset WORKBOOK_POSTGRES_URL",
        )
    return home


@contextmanager
def graded() -> Iterator[None]:
    """Inside, `cluster()` refuses a server of WORKBOOK_POSTGRES_URL whose counters would differ: it raises
    `Unsuitable`, which names the version or the settings."""
    _judging.depth += 1
    try:
        yield
    finally:
        _judging.depth -= 1


def lives() -> dict[str, str]:
    """What each running server of this person is known by: another one when it is started again."""
    found = {}
    for profile in profiles.SERVER:
        with suppress(OSError, IndexError, ValueError, WorkbookError):
            file = places.servers_folder() / f"{profile}-{places.MAJOR}" / "server" / "data" / "postmaster.pid"
            number, _, begun = file.read_text().split("\n")[:3]
            if psutil.pid_exists(int(number)):
                found[profile] = f"{number} {begun}"
    return found


def stop() -> list[str]:
    """Stop every server of this person; the profiles that ran."""
    return [profile for profile in profiles.SERVER if Cluster(profile).stop()]  # type: ignore[arg-type]


def clean() -> list[Path]:
    """Stop the servers and remove all that the engines keep; the folders and files that were there and are gone."""
    from workbook.engines import embedded

    folder = places.servers_folder()
    with ExitStack() as stack:
        clusters = [Cluster(profile) for profile in profiles.SERVER]  # type: ignore[arg-type]
        removed = [one.folder for one in clusters if stack.enter_context(one.removed())]
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and entry not in [one.folder for one in clusters]:
                shutil.rmtree(entry, ignore_errors=True)
                removed.append(entry)
            elif not entry.is_dir():
                entry.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()  # but where another process has made a cluster by now
    return removed + embedded.clean()
