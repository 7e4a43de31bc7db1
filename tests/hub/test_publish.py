"""What is published is shown first, and nothing else is sent; the token is kept nowhere."""

import io
import json
import logging
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from huggingface_hub import metadata_load
from PIL import Image

from app.errors import HubError
from app.hub.card import history_of
from app.hub.publish import HubPublisher, Publication
from app.jobs.record import JobFolder, Record
from app.models.files import ModelFiles
from app.models.network_files import WEIGHTS
from app.models.store import ModelStore
from app.painting.painter import Painter
from tests.hub.conftest import MakeHere
from tests.hub.stand_in import TOKEN, Repository, StandIn
from tests.training.tiny import config

TARGET = "me/garden"
STEP = 10


@pytest.fixture(scope="module")
def painter(model_root: Path) -> Painter:
    """One for all tests: it remembers the samples that it painted."""
    return Painter(ModelStore([model_root], "cpu", 1))


@pytest.fixture
def publisher(hub: StandIn, painter: Painter) -> HubPublisher:
    return HubPublisher(painter, hub.url)


@pytest.fixture
def tiny(model_root: Path) -> ModelFiles:
    return ModelFiles("tiny", model_root / "tiny")


@pytest.fixture
def job(model_root: Path, tmp_path: Path) -> ModelFiles:
    """A job's model, in its run, as the trainer leaves it."""
    run = tmp_path / "jobs" / "1" / "run"
    export = run / "exports" / f"{STEP:08d}"
    shutil.copytree(model_root / "classes", export)
    unet = export / "unet" / "config.json"
    fields = json.loads(unet.read_text()) | {"_name_or_path": "/home/someone/secret"}
    unet.write_text(json.dumps(fields))
    (run / "model").symlink_to("exports/00000010", target_is_directory=True)
    trained = config(tmp_path / "my pictures", network=None, init="/home/someone/models/base")
    (run / "config.json").write_text(trained.to_json())
    (run / "data.json").write_text(json.dumps({"pictures": 123, "skipped": []}))
    note_job(run.parent, base_model="monet/base@v1")
    (run / "samples").mkdir()
    for step in (5, 10, 15):
        Image.new("RGB", (step, step)).save(run / "samples" / f"{step:08d}.png")
    return ModelFiles("job", run / "model")


def note_job(folder: Path, **fields: str) -> None:
    """A job's record in its folder, which needn't have more."""
    folder.mkdir(parents=True, exist_ok=True)
    record = Record("1", "me", "a job", "", "set", total_steps=10, attempt=1, created=0.0)
    JobFolder(folder).write(replace(record, **fields))  # type: ignore[arg-type]


def preview(publisher: HubPublisher, files: ModelFiles, **how: bool) -> Publication:
    return publisher.preview(files, TARGET, licence="cc-by-4.0", **how)


def push(publisher: HubPublisher, publication: Publication, token: str = TOKEN) -> str:
    stream = publisher.push(publication, token)
    while True:
        try:
            next(stream)
        except StopIteration as end:
            return str(end.value)


def test_what_was_shown_is_what_is_sent(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    publication = preview(publisher, tiny)
    assert hub.requests == []
    address = push(publisher, publication)
    assert address == f"{hub.url}/{TARGET}"
    sent = hub.main(TARGET)
    assert set(sent) - {".gitattributes"} == {file.path for file in publication.files}
    assert sent["README.md"].decode() == publication.card
    assert sent[f"unet/{WEIGHTS}"] == tiny.weights_files[0].read_bytes()
    assert all(file.size == len(sent[file.path]) for file in publication.files)


def test_what_was_published_can_be_added_and_checked(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles, make_here: MakeHere
) -> None:
    push(publisher, preview(publisher, tiny))
    there = make_here(hub.url, TOKEN)
    there.add(TARGET)
    assert there.store.load(TARGET).weights == tiny.weights_sha256


@pytest.mark.parametrize("private", [True, False])
def test_the_person_chooses_who_sees_it(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles, private: bool
) -> None:
    publication = preview(publisher, tiny, private=private)
    assert ("everybody" in publication.in_words) is not private
    push(publisher, publication)
    assert hub.repositories[TARGET].private is private


def test_the_card_tells_of_the_training_and_nothing_of_the_machine(
    publisher: HubPublisher, job: ModelFiles, tmp_path: Path
) -> None:
    publication = preview(publisher, job)
    card = publication.card
    (tmp_path / "README.md").write_text(card)
    metadata = metadata_load(tmp_path / "README.md")
    assert metadata
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["base_model"] == "monet/base"
    for told in ("monet/base@v1", "123", "garden, river, street", "| Steps | 10 |", "batch size"):
        assert told in card
    for file in publication.files:
        data = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
        assert b"someone" not in data
        assert b"my pictures" not in data
    assert Image.open(io.BytesIO(publication.samples)).size == (10, 10)


@pytest.mark.parametrize(
    ("init", "told"),
    [
        (f"/home/someone/hub/models--monet--base/snapshots/{'0' * 40}", "monet/base"),
        ("/home/someone/models/base", "base"),
        ("impressionist-64", "impressionist-64"),
    ],
)
def test_a_run_without_a_job_tells_what_its_base_is_called(
    job: ModelFiles, tmp_path: Path, init: str, told: str
) -> None:
    run = job.folder.parent
    (run.parent / "job.json").unlink()
    settings = config(tmp_path, network=None, init=init)
    (run / "config.json").write_text(settings.to_json())
    assert history_of(job).base_model == told


@pytest.mark.parametrize("noted", [True, False])
def test_a_job_of_a_jobs_model_tells_what_the_first_one_began_with(
    publisher: HubPublisher, job: ModelFiles, noted: bool
) -> None:
    here = job.folder.parents[1]
    first, second = here.parent / ("a" * 16), here.parent / ("b" * 16)
    if not noted:
        note_job(first, base_model="monet/base@v1")
        note_job(second, base_model=f"{first.name}-40")
    note_job(here, base_model=f"{second.name}-80", root_model="monet/base@v1" if noted else "")
    card = preview(publisher, job).card
    assert "base_model: monet/base\n" in card
    assert second.name not in card


def test_a_run_of_a_runs_model_tells_what_the_first_one_began_with(
    job: ModelFiles, tmp_path: Path
) -> None:
    later = Path(shutil.copytree(job.folder.parents[1], tmp_path / "later", symlinks=True))
    (later / "job.json").unlink()
    settings = config(tmp_path, network=None, init=str(job.folder.resolve()))
    (later / "run" / "config.json").write_text(settings.to_json())
    assert history_of(ModelFiles("later", later / "run" / "model")).base_model == "monet/base@v1"
    shutil.rmtree(job.folder.parents[1])
    assert history_of(ModelFiles("later", later / "run" / "model")).base_model == ""


def test_a_job_whose_line_is_lost_names_no_job(publisher: HubPublisher, job: ModelFiles) -> None:
    note_job(job.folder.parents[1], base_model=f"{'a' * 16}-40")
    assert "none that is known" in preview(publisher, job).card


def test_a_model_without_a_run_has_its_samples_painted(
    publisher: HubPublisher, tiny: ModelFiles
) -> None:
    assert history_of(tiny).pictures is None
    publication = preview(publisher, tiny)
    assert Image.open(io.BytesIO(publication.samples)).size == (64, 64)
    assert "not known" in publication.card


def test_labels_can_not_break_the_card(publisher: HubPublisher, job: ModelFiles) -> None:
    table = {"labels": ["a | b\n# c", "<script>", "d"], "null_label": 3}
    (job.folder / "labels.json").write_text(json.dumps(table))
    card = preview(publisher, job).card
    assert "| Classes | a / b # c, (script), d |" in card


@pytest.mark.parametrize("name", ["garden", "../me/garden", "me/garden@v1", "https://x/y"])
def test_only_a_name_can_be_published_to(
    publisher: HubPublisher, tiny: ModelFiles, name: str
) -> None:
    with pytest.raises(HubError):
        publisher.preview(tiny, name, licence="mit")


def test_a_licence_is_one_of_those_there_are(publisher: HubPublisher, tiny: ModelFiles) -> None:
    with pytest.raises(HubError, match="no licence"):
        publisher.preview(tiny, TARGET, licence="mine\nbase_model: x")
    with pytest.raises(HubError, match="no licence yet"):
        publisher.preview(tiny, TARGET)


def test_the_base_models_licence_is_found(hub: StandIn, model_root: Path, tmp_path: Path) -> None:
    shutil.copytree(model_root / "tiny", tmp_path / "base")
    (tmp_path / "base" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# base\n")
    publisher = HubPublisher(Painter(ModelStore([tmp_path], "cpu", 1)), hub.url)
    assert publisher.licence_of("base") == "cc-by-nc-4.0"
    assert publisher.licence_of("nobody") == ""


def test_what_is_there_is_replaced_only_if_that_was_said(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    push(publisher, preview(publisher, tiny))
    hub.main(TARGET)["kept.txt"] = b"kept"
    with pytest.raises(HubError, match="there already"):
        push(publisher, preview(publisher, tiny))
    push(publisher, preview(publisher, tiny, replace=True))
    assert hub.main(TARGET)["kept.txt"] == b"kept"


def test_nothing_private_goes_into_a_public_repository(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    push(publisher, preview(publisher, tiny, private=False))
    before = hub.main(TARGET)
    with pytest.raises(HubError, match="there already, and is not private"):
        push(publisher, preview(publisher, tiny, private=True, replace=True))
    assert hub.main(TARGET) is before


def test_a_model_that_changed_since_it_was_shown_is_not_sent(
    hub: StandIn, publisher: HubPublisher, job: ModelFiles
) -> None:
    publication = preview(publisher, job)
    weights = job.weights_files[0]
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(HubError, match="changed since it was shown"):
        push(publisher, publication)
    assert TARGET not in hub.repositories


@pytest.mark.parametrize("token", ["", "short", "hf_with a space", "hf_ä" * 5, "hf_line\nbreak"])
def test_what_is_no_token_is_not_sent(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles, token: str
) -> None:
    with pytest.raises(HubError, match="no token") as caught:
        push(publisher, preview(publisher, tiny), token)
    assert not token or token not in str(caught.value)
    assert hub.requests == []


def test_a_token_of_nobody_is_refused(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    with pytest.raises(HubError, match="refuses access"):
        push(publisher, preview(publisher, tiny), "hf_somebody_elses_token")
    assert hub.repositories == {}


def test_an_account_that_may_not_write_is_told(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    hub.refuse_writes = True
    with pytest.raises(HubError, match=r"refuses access to me/garden \(403\)"):
        push(publisher, preview(publisher, tiny))


def test_an_upload_that_is_refused_is_told(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    hub.refuse_uploads = True
    with pytest.raises(HubError, match=r"refuses access to me/garden \(403\)"):
        push(publisher, preview(publisher, tiny))
    assert set(hub.main(TARGET)) == {".gitattributes"}
    hub.refuse_uploads = False
    push(publisher, preview(publisher, tiny))
    assert hub.main(TARGET)[f"unet/{WEIGHTS}"] == tiny.weights_files[0].read_bytes()


def test_an_empty_repository_keeps_its_visibility(
    hub: StandIn, publisher: HubPublisher, tiny: ModelFiles
) -> None:
    hub.repositories[TARGET] = Repository(private=False)
    hub.repositories[TARGET].commit({})
    with pytest.raises(HubError, match="not private"):
        push(publisher, preview(publisher, tiny, private=True))


def test_the_token_is_in_no_log_no_error_and_no_file(
    hub: StandIn,
    publisher: HubPublisher,
    tiny: ModelFiles,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    push(publisher, preview(publisher, tiny))
    hub.refuse_writes = True
    with pytest.raises(HubError) as caught:
        push(publisher, preview(publisher, tiny, replace=True))
    assert TOKEN not in caplog.text + repr(caught.value)
    files = (path for path in tmp_path.rglob("*") if path.is_file())
    assert all(TOKEN.encode() not in path.read_bytes() for path in files)


def test_a_latent_model_is_published_whole_and_opened_by_diffusers(
    hub: StandIn, latent_root: Path, tmp_path: Path, make_here: MakeHere
) -> None:
    publisher = HubPublisher(Painter(ModelStore([latent_root], "cpu", 1)), hub.url)
    files = ModelFiles("AutoencoderKL", latent_root / "AutoencoderKL")
    publication = preview(publisher, files)
    assert "LDMPipeline.from_pretrained" in publication.card
    assert "latents of 8 x 8 x 4" in publication.card
    push(publisher, publication)
    sent = hub.main(TARGET)
    assert sent[f"vqvae/{WEIGHTS}"] == (files.folder / "vqvae" / WEIGHTS).read_bytes()
    for name, data in sent.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    pipeline = import_module("diffusers").LDMPipeline.from_pretrained(tmp_path)
    assert pipeline.vqvae.config.scaling_factor == 0.5
    there = make_here(hub.url, TOKEN)
    there.add(TARGET)
    assert there.store.load(TARGET).weights == files.weights_sha256


def test_an_autoencoder_that_changed_is_not_sent(
    hub: StandIn, latent_root: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(latent_root / "AutoencoderKL", tmp_path / "mine"))
    publisher = HubPublisher(Painter(ModelStore([latent_root], "cpu", 1)), hub.url)
    publication = preview(publisher, ModelFiles("mine", folder))
    weights = folder / "vqvae" / WEIGHTS
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(HubError, match="changed since it was shown"):
        push(publisher, publication)
    assert hub.repositories == {}
