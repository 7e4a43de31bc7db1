"""The cost of the page, measured from outside: a real server, used over HTTP like a browser."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import typer
from tqdm import tqdm

from app.errors import StudioError
from tools.server import Server, running_server

SHORT: Final = {"sampler": "dpm-solver", "steps": 15, "pictures": 1}
LONG: Final = {"sampler": "ddpm", "pictures": 4}


@dataclass(frozen=True)
class Visit:
    """One painting on the page: seconds from the click to its first frame and to its end."""

    first_frame: float
    whole: float


class Easel:
    """The Paint tab of a served page, opened once, without a browser."""

    def __init__(self, server: Server, model: str) -> None:
        self._url = server.url + "gradio_api/queue/"
        config = httpx.get(server.url + "config").json()
        known = {part["id"]: part["props"] for part in config["components"]}
        buttons = {id_ for id_, props in known.items() if props.get("value") == "Paint"}
        # The click draws a seed in the browser; what paints follows it.
        events = config["dependencies"]
        clicked = {it["id"] for it in events if any(of in buttons for of, _ in it["targets"])}
        self._event = next(it for it in events if it["trigger_after"] in clicked)
        self._fields = [known[id_] for id_ in self._event["inputs"]]
        self._model = model
        self._session = uuid4().hex

    def paint(self, **choices: object) -> Visit:
        """Click Paint, with `choices` by the controls' labels, and wait for the end."""
        chosen = {"model": self._model, "size": None} | choices
        request = {
            "data": [chosen.get(props.get("label"), props.get("value")) for props in self._fields],
            "fn_index": self._event["id"],
            "session_hash": self._session,
        }
        began = time.perf_counter()
        httpx.post(self._url + "join", json=request).raise_for_status()
        first = None
        for line in self._stream():
            if first is None and '\\"frames\\":[{' in line:
                first = time.perf_counter() - began
            if '"msg":"process_completed"' in line:
                break
        if first is None:
            raise StudioError("The page painted nothing.", "Look at the server's log.")
        return Visit(first, time.perf_counter() - began)

    def _stream(self) -> Iterator[str]:
        parameters = {"session_hash": self._session}
        with httpx.stream("GET", self._url + "data", params=parameters, timeout=300) as answer:
            yield from answer.iter_lines()


def report_page(model: str, steps: int, rounds: int, paintings: int) -> None:
    """Print start-up, the first frame's delay, the cost of streaming, and the server's memory.

    Streaming is measured on paintings of four times `steps` steps.
    """
    with running_server() as server:
        easel = Easel(server, model)
        for precision in ("exact", "fast"):
            easel.paint(precision=precision, **SHORT)
        first = statistics.median(easel.paint(**SHORT).first_frame for _ in range(rounds))
        typer.echo(
            f"\nthe page\nanswers {server.startup_seconds:.1f} s after its start\n"
            f"first frame {first * 1e3:.0f} ms after the click"
        )
        typer.echo(_streaming(easel, server, 4 * steps, rounds))
        typer.echo(_memory(easel, server, steps, paintings))


def _streaming(easel: Easel, server: Server, steps: int, rounds: int) -> str:
    """Time paintings with and without streaming their frames, in turns; report the difference."""
    from gradio_client import Client

    client = Client(server.url, verbose=False)
    wish: dict[str, Any] = LONG | {"precision": "fast", "steps": steps}
    easel.paint(seed=0, **wish)
    ratios = []
    for seed in range(1, 2 * rounds, 2):
        streamed = easel.paint(seed=seed, **wish).whole
        began = time.perf_counter()
        client.predict(seed=seed + 1, api_name="/paint", **wish)
        ratios.append(streamed / (time.perf_counter() - began))
    cost = statistics.median(ratios) - 1
    return f"streaming every frame of {LONG['pictures']} pictures costs {cost:+.1%} of the time"


def _memory(easel: Easel, server: Server, steps: int, paintings: int) -> str:
    status = Path(f"/proc/{server.pid}/status")
    if not status.exists():
        return "memory: this system has no /proc to read it from"
    before = _resident_mb(status)
    for seed in tqdm(range(paintings), desc="painting", unit="painting", leave=False):
        easel.paint(seed=1000 + seed, **LONG | {"steps": steps})
    after = _resident_mb(status)
    return f"memory {before:.0f} MB, after {paintings} paintings more {after:.0f} MB"


def _resident_mb(status: Path) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6
