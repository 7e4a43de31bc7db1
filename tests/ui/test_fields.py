"""A field is declared once: what is added to a recipe is in the API, a shell and the page."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import gradio as gr
import pytest
from pydantic import Field, create_model

from app.__main__ import main
from app.diffusion.reverse import Spacing
from app.fields import Control
from app.laboratory import experiment, experiments
from app.models.files import ModelInfo
from app.painting import recipe
from app.settings import Settings
from app.studio import Studio
from app.ui.bound import api as bound_api
from app.ui.bound import tab as bound_tab
from app.ui.components import recipe_controls as easel
from app.ui.endpoints import experiments as endpoints
from app.ui.mix import tab as mix_tab
from app.ui.noise import tab as noise_tab
from app.ui.page import build
from app.ui.paint import api
from app.ui.paint import tab as paint_tab
from tools.api_docs import reference

INFO = ModelInfo("tiny", 16, 3, 1, 1000, (), None, learned_variance=False)
WORDS = "How far the noise is from the paper's."


class Warmer(recipe.Recipe):
    """A recipe with a number, a choice and a switch more."""

    temperature: Annotated[float, Control(step=0.25)] = Field(
        default=1.0, ge=0, le=2, description=WORDS
    )
    mood: Spacing = Field(default="linspace", description="A choice.")
    lively: bool = Field(default=False, description="A switch.")


ADDED = ("temperature", "mood", "lively")


@pytest.fixture(autouse=True)
def warmer(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [f"app.cli.{name}" for name in ("pictures", "paint", "noise", "mix", "bound")]
    for command in commands:
        import_module(command)
    for command in commands:
        # Imported anew, they take their options from the recipe below.
        monkeypatch.delitem(sys.modules, command)
    for place in (recipe, experiment, api, easel, endpoints, paint_tab):
        monkeypatch.setattr(place, "Recipe", Warmer)


def test_an_added_field_is_an_argument_of_the_api_and_the_last() -> None:
    sections = reference.sections().values()
    known = {endpoint.name: endpoint for section in sections for endpoint in section}
    for name in ("paint", "denoise", "mix", "mix_grid", "mix_morph", "seed_morph"):
        temperature, mood, lively = known[name].parameters[-3:]
        assert (temperature.name, mood.name, lively.name) == ADDED
        assert temperature.words == f"{WORDS} From 0 to 2."
        assert (temperature.schema["default"], temperature.schema["maximum"]) == (1.0, 2)
        assert mood.schema["enum"] == ["leading", "even", "trailing", "linspace"]
        assert lively.schema["type"] == "boolean"


@pytest.mark.parametrize("command", [("paint",), ("noise", "seed:1"), ("mix", "seed:1", "seed:2")])
def test_an_added_field_is_an_option_of_the_commands(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command[:1], "--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"--temperature <float> {WORDS} From 0 to 2. [default: 1.0]" in shown
    assert "--lively / --no-lively" in shown
    denoise = ("--denoise", "9") if command[0] == "noise" else ()
    with pytest.raises(SystemExit) as end:
        main([*command, *denoise, "--temperature", "3", "--out", str(tmp_path / "out")])
    assert end.value.code == 1
    assert "temperature is 3, but must be at most 2" in capsys.readouterr().err


def test_an_added_field_has_a_control_and_reaches_the_recipe() -> None:
    with gr.Blocks():
        controls = easel.Controls(model=gr.Dropdown())
        easel.add_rest(controls, Warmer)
    slider, mood, lively = (controls[name] for name in ADDED)
    assert isinstance(slider, gr.Slider)
    assert (slider.minimum, slider.maximum, slider.step, slider.value) == (0, 2, 0.25, 1.0)
    assert (slider.label, slider.info) == ("temperature", WORDS)
    assert isinstance(mood, gr.Dropdown)
    assert [value for _, value in mood.choices] == ["leading", "even", "trailing", "linspace"]
    assert isinstance(lively, gr.Checkbox)
    values = [it.value for it in controls.all]
    values[0], values[list(controls).index("temperature")] = "tiny", 1.5
    made = Warmer.checked(controls.read(values))
    assert made == Warmer(model="tiny", temperature=1.5)
    assert controls.updates(made, INFO)["temperature"]["value"] == 1.5


def test_an_added_field_has_a_control_in_paint_and_the_laboratories() -> None:
    page = build(Studio(Settings()))
    blocks = page.blocks.values()  # the arguments of the API are among them
    labels = [it.label for it in blocks if isinstance(it, gr.components.FormComponent)]
    for name in ADDED:
        assert labels.count(name) == 3, name


EXPERIMENTS = {
    "noise_strip": "ForwardStrip",
    "noise_chain": "Chain",
    "noise_posterior": "PosteriorStep",
    "denoise": "Denoising",
    "mix": "Mixing",
    "mix_grid": "Grid",
    "mix_morph": "Morph",
    "seed_morph": "SeedMorph",
    "bound": "BoundRequest",
}


@pytest.fixture
def gloss(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXPERIMENTS.values():
        words = Field(default=1, ge=0, le=9, description=f"Gloss of {name}.")
        more = create_model(name, __base__=getattr(experiments, name), gloss=(int, words))
        for place in (experiments, noise_tab, mix_tab, bound_tab, bound_api):
            if hasattr(place, name):
                monkeypatch.setattr(place, name, more)


@pytest.mark.usefixtures("gloss")
def test_a_field_added_to_an_experiment_is_in_the_api_and_on_the_page() -> None:
    sections = reference.sections().values()
    known = {endpoint.name: endpoint for section in sections for endpoint in section}
    for endpoint, name in EXPERIMENTS.items():
        last = known[endpoint].parameters[-1]
        assert (last.name, last.words) == ("gloss", f"Gloss of {name}. From 0 to 9.")
    page = build(Studio(Settings()))
    sliders = {it.info for it in page.blocks.values() if isinstance(it, gr.Slider)}
    assert sliders >= {f"Gloss of {name}." for name in EXPERIMENTS.values()}


@pytest.mark.usefixtures("gloss")
@pytest.mark.parametrize(
    "command",
    [
        ("noise", "seed:1"),
        ("mix", "seed:1", "seed:2"),
        ("mix", "seed:1", "seed:2", "--grid"),
        ("bound", "seed:1"),
    ],
)
def test_a_field_added_to_an_experiment_is_an_option(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--gloss", "10", "--out", str(tmp_path / "out")])
    assert end.value.code == 1
    assert "gloss is 10, but must be at most 9" in capsys.readouterr().err
