"""A page without a server, exported once from tiny networks, and the browser that it paints in."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from diffusers.models.unets.unet_2d import UNet2DModel

from app.__main__ import main
from app.errors import StudioError
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.static.runtime import runtime_archive
from app.static.serve import make_server
from app.static.site import write_site
from tests.conftest import save_tiny_model, save_tiny_stage
from tests.lacking import lacking

STAGE = "brushwork-256"


def halve(folder: Path) -> Path:
    """Store a model's weights in fp16, which the export then doesn't round."""
    UNet2DModel.from_pretrained(folder / "unet").half().save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="session")
def runtime() -> Path:
    """onnxruntime-web's tarball, from the cache or npm."""
    try:
        return runtime_archive()
    except StudioError as error:
        lacking(str(error))


@pytest.fixture(scope="session")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Painter:
    """Paints with `tiny`, and enlarges with a tiny stage."""
    root = tmp_path_factory.mktemp("static-models")
    halve(save_tiny_model(root / "tiny"))
    halve(save_tiny_stage(root / STAGE))
    return Painter(ModelStore([root]))


@pytest.fixture(scope="session")
def site(painter: Painter, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a page that paints with `tiny` and its stage."""
    folder = tmp_path_factory.mktemp("static") / "site"
    models = painter.models
    rounded = write_site(
        folder, painter, models.find("tiny"), models.find_stage(STAGE), runtime=runtime
    )
    assert not rounded
    return folder


Shell = Callable[..., int]


@pytest.fixture
def shell(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs a command with the models of `painter`, and returns its exit code."""
    (root,) = painter.models._roots

    def run(*arguments: object) -> int:
        monkeypatch.setenv("PLEIN_AIR_MODELS", str(root))
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return int(ended.value.code or 0)

    return run


Serving = Callable[[Path], str]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Serves a folder as its serve.py does, until the test is over, and says where."""
    with ExitStack() as servers:

        def start(folder: Path) -> str:
            server = servers.enter_context(make_server(folder))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            servers.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}/"

        yield start


@pytest.fixture
def copied(site: Path, tmp_path: Path) -> Path:
    """A copy of the site to break."""
    return Path(shutil.copytree(site, tmp_path / "site"))
