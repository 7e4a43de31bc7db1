"""A Postgres server of the tests' own."""

import glob
import os
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select

SUPERUSER = "plein"


def server_programs() -> Path | None:
    """The folder with initdb and postgres: on Debian it isn't in the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(folders[-1]).parent if folders else None


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A server on a socket in `folder`, which mustn't be there yet; its database's address."""
    programs = server_programs()
    assert programs is not None
    folder.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent.is_relative_to("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"
    made = [str(programs / "initdb"), "--no-sync", "--auth=trust", f"--username={SUPERUSER}"]
    subprocess.run([*as_user, *made, f"--pgdata={data}"], check=True, capture_output=True)
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    control = [*as_user, str(programs / "pg_ctl"), f"--pgdata={data}", "--wait"]
    log = f"--log={folder / 'log'}"
    subprocess.run(
        [*control, "start", log, f"--options={options}"], check=True, capture_output=True
    )
    try:
        yield f"postgresql://{SUPERUSER}@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "stop", "--mode=immediate"], check=True, capture_output=True)


class Proxy(socketserver.ThreadingTCPServer):
    """A way by TCP to the server on a socket in `folder`.

    Attributes:
        passes: While it isn't set, the proxy takes connections and bytes, and passes none on.
        url: The database's address by this way.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = str(folder / ".s.PGSQL.5432")
        self.passes = threading.Event()
        self.passes.set()
        self.url = f"postgresql://{SUPERUSER}@127.0.0.1:{self.server_address[1]}/postgres"


class _Passing(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as behind:
            behind.connect(self.server.behind)
            others = {self.request: behind, behind: self.request}
            while True:
                for end in select(list(others), [], [])[0]:
                    self.server.passes.wait()
                    sent = end.recv(65_536)
                    if not sent:
                        return
                    others[end].sendall(sent)


@contextmanager
def running_proxy(folder: Path) -> Iterator[Proxy]:
    """A proxy before the server of `running_postgres` in `folder`."""
    with Proxy(folder) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.passes.set()
            proxy.shutdown()
