"""A Postgres server of the tests' own."""

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
