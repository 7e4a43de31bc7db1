"""The files that go to a Space: how large they are, and whether they are whole."""

import subprocess
from pathlib import Path
from typing import Final

from app.service.preflight.finding import Finding, faults

CHECK: Final = "file sizes"
LARGE: Final = 10_000_000
"""The bytes from which the Hub takes a file only as a large one, by LFS or Xet."""

ROOM: Final = 1_000_000_000
"""What a Space's repository may hold before the Hub asks for a plan."""

POINTER: Final = b"version https://git-lfs.github.com/spec/"
UPLOAD: Final = "hf upload OWNER/plein-air . . --type space"


def check_sizes(folder: Path) -> tuple[Finding, ...]:
    """Which files are too large for git push, and whether any is only a pointer to one."""
    sizes = {path: (folder / path).stat().st_size for path in _files(folder)}
    found = [
        (
            f"{path} is only a pointer to a large file",
            f"Get it first: git lfs pull --include {path}",
        )
        for path in sizes
        if _is_pointer(folder / path)
    ]
    total = sum(sizes.values())
    if total > ROOM:
        largest = max(sizes, key=lambda path: sizes[path])
        said = f"{total / 1e9:.1f} GB together, of which {largest} is the largest"
        found.append((said, "Keep models in repositories of their own on the Hub."))
    if found or not sizes:
        return faults(CHECK, found or [("there are no files", "Name the repository's folder.")], "")
    large = [f"{path} ({size / 1e6:.0f} MB)" for path, size in sizes.items() if size > LARGE]
    said = f"{len(sizes)} files, {total / 1e6:.0f} MB; over 10 MB: {', '.join(large) or 'none'}"
    hint = f"git push is refused with these: {UPLOAD}" if large else ""
    return (Finding(CHECK, True, said, hint),)


def _files(folder: Path) -> list[str]:
    """What git knows of, or all there is where git knows nothing."""
    listed = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "-z"], capture_output=True, check=False
    )
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    tracked = [name for name in names if (folder / name).is_file()]
    if tracked:
        return tracked
    every = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.as_posix() for path in every if path.parts[0] != ".git"]


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER
