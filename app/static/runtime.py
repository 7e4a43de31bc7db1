"""onnxruntime-web, which runs the network in the browser: fetched once, checked, kept.

It is npm's own package of one version, whose hash stands here. It is no part of this repository.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from app.errors import StudioError
from app.files import write_bytes

PACKAGE: Final = "onnxruntime-web"
VERSION: Final = "1.30.0"
SHA512: Final = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
"""The tarball's, in base64, as npm's lock files write it."""

ARCHIVE: Final = f"{PACKAGE}-{VERSION}.tgz"
CACHE: Final = Path.home() / ".cache" / "plein-air"
REGISTRY: Final = "https://registry.npmjs.org/"
TIMEOUT: Final = 60

BACKENDS: Final = {
    "webgpu": ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"),
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded"),
}
"""What each backend is loaded from: its module, and the name of its .mjs and its .wasm."""

FILES: Final = tuple(
    name for module, wasm in BACKENDS.values() for name in (module, f"{wasm}.mjs", f"{wasm}.wasm")
)
_BY_HAND: Final = (
    f"Fetch {ARCHIVE} elsewhere (npm pack {PACKAGE}@{VERSION}), and name it: --runtime FILE."
)


def runtime_archive(given: Path | None = None, cache: Path = CACHE) -> Path:
    """Return the package's tarball: the `given` file, the one in the cache, or npm's, then cached.

    Raises:
        StudioError: If it can't be fetched, or isn't the one whose hash stands here.
    """
    archive = given or cache / ARCHIVE
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        write_bytes(archive, _fetched(f"{_registry()}/{PACKAGE}/-/{ARCHIVE}"))
    if _hash(archive.read_bytes()) != SHA512:
        if given is None:
            archive.unlink()  # else it would be in the way for good
        raise StudioError(
            f"{archive.name} isn't {PACKAGE} {VERSION}: its hash is another.", _BY_HAND
        )
    return archive


def unpack(archive: Path, folder: Path) -> None:
    """Write the files that the page needs of the checked `archive` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as package:
        for name in FILES:
            # By their names alone: nothing in the archive says where a file goes.
            member = package.extractfile(f"package/dist/{name}")
            if member is None:
                raise StudioError(f"{archive.name} has no {name}.", _BY_HAND)
            with member, (folder / name).open("wb") as file:
                shutil.copyfileobj(member, file)


def _hash(data: bytes) -> str:
    return base64.b64encode(hashlib.sha512(data).digest()).decode()


def _registry() -> str:
    """Return the registry that npm is set up for; where there is no npm, the public one."""
    npm = shutil.which("npm")
    if npm is None:
        return REGISTRY.rstrip("/")
    asked = subprocess.run(
        [npm, "config", "get", "registry"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        cwd=os.sep,
    )
    address = asked.stdout.strip()
    return (address if address.startswith("http") else REGISTRY).rstrip("/")


def _fetched(address: str) -> bytes:
    try:
        with urlopen(address, timeout=TIMEOUT) as answer:
            return bytes(answer.read())
    except (URLError, OSError) as error:
        raise StudioError(f"{PACKAGE} {VERSION} can't be fetched ({error}).", _BY_HAND) from error
