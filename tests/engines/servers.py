"""Servers that a person might bring along: started in a folder of their own with any settings, reached by a URL."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import folders
from workbook.engines import places, profiles

OURS = {**profiles.GUARDS, **profiles.SERVER["counting"], **profiles.SESSION["counting"]}
"""The settings of the profile `counting`, with which a server of one's own is fit for grading."""

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")


def of_the_system() -> Path:
    """The programs of the oldest PostgreSQL that the system has, such as Debian's package `postgresql`."""
    found = [folder for place in PLACES for folder in Path("/").glob(place[1:]) if (folder / "initdb").exists()]
    assert found, "this test needs a PostgreSQL of the system: apt install postgresql"
    return min(found, key=major)


def major(folder: Path) -> int:
    """The version of a folder of programs, such as 15."""
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].split(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz"))


@contextlib.contextmanager
def server(programs: Path, settings: Mapping[str, str], *initdb: str) -> Iterator[str]:
    """A server with these settings beside PostgreSQL's defaults, run by an unprivileged user where we are root; gives
    the URL of its superuser. It lets a role into the database of its own name only."""
    who = places.servant()
    folder = folders.make()
    data, password = folder / "data", secrets.token_urlsafe(12)
    places.give_to_server(folder, 0o755)
    secret = folder / "password"
    secret.write_text(password)
    places.give_to_server(secret, 0o600)

    def run(program: str, *arguments: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"TZ": "UTC"}
        command = [str(programs / places.program_name(program)), "-D", str(data), *arguments]
        with (folder / "said").open("w+") as out:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdout=out, stderr=out, **(who.popen() if who else {})
            )
            out.seek(0)
            assert done.returncode == 0, f"{' '.join(command)}\n{out.read()}"

    try:
        run("initdb", "-U", "postgres", "-E", "UTF8", "-A", "scram-sha-256", f"--pwfile={secret}", *initdb)
        host, port = ("127.0.0.1", _free_port()) if places.WINDOWS else (str(folder), 5432)
        lines = {**settings, "port": str(port), "listen_addresses": host if places.WINDOWS else ""}
        if not places.WINDOWS:
            lines |= {"unix_socket_directories": host, "unix_socket_permissions": "0777"}
        with (data / "postgresql.conf").open("a") as out:
            out.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        line = "host {} 127.0.0.1/32 scram-sha-256\n" if places.WINDOWS else "local {} scram-sha-256\n"
        (data / "pg_hba.conf").write_text(line.format("all postgres") + line.format("sameuser all"))
        run("pg_ctl", "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql://postgres:{password}@/postgres?host={host}&port={port}"
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
