"""Recipes survive every way they travel, and hostile ones are refused with a reason."""

import base64
import json
import zlib

import pytest
from torch import Tensor

from app.diffusion.seeds import MAX_SEED
from app.errors import RecipeError
from app.models.step_schedules import MAX_STEP_LIST
from app.painting.recipe import MAX_BRANCHES, MAX_JSON, MAX_LINK, Recipe

PLAIN = Recipe(model="tiny", weights="a" * 64, sampler="ddpm", steps=50, seed=7, pictures=4)


def branch_of(parent: Recipe, frame: int = 1) -> Recipe:
    return Recipe(model="tiny", steps=parent.steps - frame, parent=parent, frame=frame)


@pytest.mark.parametrize("recipe", [PLAIN, PLAIN.for_picture(3), branch_of(branch_of(PLAIN, 20))])
def test_a_recipe_survives_json_and_link(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_link(recipe.to_link()) == recipe


def test_json_names_every_choice_so_that_later_defaults_change_nothing() -> None:
    fields = json.loads(PLAIN.to_json())
    assert set(fields) >= {"eta", "clip", "spacing", "precision", "format", "guidance_scale"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"steps": 0}, "at least 1"),
        ({"steps": 1001}, "at most 1000"),
        ({"steps": 10**30}, "at most 1000"),
        ({"steps": "50"}, "whole number"),
        ({"steps": 2.5}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"eta": 1.5}, "at most 1"),
        ({"eta": float("nan")}, "finite number"),
        ({"seed": -1}, "at least 0"),
        ({"seed": MAX_SEED + 1}, "at most"),
        ({"pictures": 17}, "at most 16"),
        ({"pictures": 2, "picture": 2}, "does not exist"),
        ({"precision": "double"}, "'exact' or 'fast'"),
        ({"spacing": "wide"}, "'leading', 'even', 'trailing' or 'linspace'"),
        ({"model": "../../etc/passwd"}, "no name"),
        ({"model": ".."}, "no name"),
        ({"model": "a/b/c"}, "no name"),
        ({"model": "a/b@/refs"}, "no name"),
        ({"model": "a/b@refs/../.."}, "no name"),
        ({"weights": "xyz"}, "no name"),
        ({"guidance_scale": 1e9}, "at most 20"),
        ({"label": -1}, "label is -1, but must be at least 0"),
        ({"label": "x" * 201}, "label"),
        ({"guidance_from": 200, "guidance_to": 800}, "to a smaller one, not from 200 to 800"),
        ({"frame": 3}, "names both"),
        ({"variation_seed": 7, "variation_strength": 1.2}, "at most 1"),
        ({"variation_seed": -1}, "at least 0"),
        ({"variation_strength": 0.3}, "needs a variation_seed"),
        ({"shell": "rm"}, "no field"),
        ({"format": "plein-air/3"}, "plein-air/2"),
    ],
)
def test_values_out_of_range_are_refused_by_name(fields: dict[str, object], reason: str) -> None:
    text = json.dumps({"model": "tiny"} | fields)
    with pytest.raises(RecipeError, match="can't be used") as caught:
        Recipe.from_json(text)
    assert reason in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("mark", [{}, {"format": "plein-air/1"}])
def test_the_first_format_called_even_spacing_leading(mark: dict[str, str]) -> None:
    old = {"model": "tiny", "steps": 7, "spacing": "leading"} | mark
    read = Recipe.from_json(json.dumps(old | {"steps": 4, "parent": old, "frame": 3}))
    assert read.parent is not None
    assert (read.format, read.spacing) == (read.parent.format, read.parent.spacing)
    assert (read.format, read.spacing) == ("plein-air/2", "even")
    trailing = Recipe.from_json(json.dumps(old | {"spacing": "trailing"}))
    assert trailing.spacing == "trailing"


def test_leading_spacing_is_diffusers_in_calls_and_in_todays_recipes() -> None:
    today = Recipe.checked({"model": "tiny", "steps": 7, "spacing": "leading"})
    assert today.spacing == "leading"
    assert Recipe.from_json(today.to_json()) == today
    assert Recipe.from_link(today.to_link()) == today


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"model": 3}', "\x00", "[" * 5000])
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_a_recipe_longer_than_any_is_refused_unread() -> None:
    with pytest.raises(RecipeError, match="characters long"):
        Recipe.from_json(" " * (MAX_JSON + 1))


def test_branches_end_at_a_depth_that_still_fits() -> None:
    deepest = PLAIN
    for _ in range(MAX_BRANCHES):
        deepest = branch_of(deepest)
    assert len(deepest.to_json()) < MAX_LINK
    with pytest.raises(ValueError, match="branches deep"):
        branch_of(deepest)


def test_a_branch_has_its_parents_remaining_steps() -> None:
    with pytest.raises(ValueError, match="has 30 steps"):
        Recipe(model="tiny", steps=31, parent=PLAIN, frame=20)


def test_a_branch_never_draws_its_parents_noise_again() -> None:
    child = branch_of(PLAIN).model_copy(update={"seed": PLAIN.seed, "pictures": 4})
    grandchild = branch_of(child).model_copy(update={"seed": PLAIN.seed, "pictures": 4})
    seeds = {*PLAIN.noise_seeds, *child.noise_seeds, *grandchild.noise_seeds}
    assert len(seeds) == 12
    assert PLAIN.noise_seeds == (7, 8, 9, 10)


@pytest.mark.parametrize("link", ["", "!", "abc", "é", base64.urlsafe_b64encode(b"x").decode()])
def test_damaged_links_are_refused(link: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_link(link)


def test_a_link_that_inflates_is_cut_at_the_size_of_a_recipe() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * 4_000_000, 9)).decode()
    assert len(bomb) < MAX_LINK
    with pytest.raises(RecipeError):
        Recipe.from_link(bomb)


def test_a_recipe_without_variation_says_nothing_of_it() -> None:
    assert "variation" not in PLAIN.to_json()
    varied = PLAIN.model_copy(update={"variation_seed": 8, "variation_strength": 0.25})
    assert Recipe.from_json(varied.to_json()) == Recipe.from_link(varied.to_link()) == varied
    assert {"variation_seed": 8, "variation_strength": 0.25}.items() <= varied.model_dump().items()


LISTED = Recipe(
    model="tiny",
    sampler="dpm-solver-eta",
    steps=3,
    step_t=(1000, 500, 10),
    step_eta=(1, 0.5, 0),
)


def test_lists_of_steps_travel_and_are_left_out_where_there_are_none() -> None:
    assert Recipe.from_json(LISTED.to_json()) == Recipe.from_link(LISTED.to_link()) == LISTED
    assert Recipe.checked(LISTED.model_dump() | {"step_t": [1000, 500, 10]}) == LISTED
    assert "step_" not in PLAIN.to_json()
    assert LISTED.timesteps(1000).tolist() == [999, 499, 9]
    etas = LISTED.etas(LISTED.timesteps(1000)[1:])
    assert isinstance(etas, Tensor)
    assert etas.tolist() == [0.5, 0.0]
    assert (LISTED.draws_noise, PLAIN.etas(PLAIN.timesteps(1000))) == (True, 0.0)


def test_the_longest_lists_fit_into_a_link_four_branches_deep() -> None:
    t = tuple(range(10_000, 10_000 - MAX_STEP_LIST, -1))
    eta = tuple((i + 0.5) / 67 for i in range(MAX_STEP_LIST))
    how = {"sampler": "dpm-solver-eta", "step_t": t, "step_eta": eta}
    deepest = Recipe.checked(PLAIN.model_dump() | how | {"steps": MAX_STEP_LIST})
    for _ in range(MAX_BRANCHES):
        deepest = Recipe.checked(branch_of(deepest).model_dump() | how)
    assert Recipe.from_link(deepest.to_link()) == deepest


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"step_eta": None}, "belong together"),
        ({"step_eta": [1, 1]}, "step_t has 3 entries and step_eta 2"),
        ({"step_t": [500, 1000, 10]}, "doesn't fall"),
        ({"step_t": [1000, 500, 500]}, "doesn't fall"),
        ({"step_t": [1000, 500, 0]}, "step_t.2 is 0, but must be at least 1"),
        ({"step_t": [1000, 500, 2.5]}, "step_t.2 is not a whole number"),
        ({"step_t": "1000"}, "step_t is not a list"),
        ({"step_eta": [1, 1, 3]}, "step_eta.2 is 3, but must be at most 2"),
        ({"step_eta": [1, 1, float("nan")]}, "finite number"),
        ({"sampler": "ddim"}, "are for dpm-solver-eta, and the sampler is ddim"),
        ({"steps": 4}, "steps is 4, but step_t has 3 entries"),
        ({"source": "a", "start_t": 300}, "leave start_t out"),
        ({"step_t": [*range(101, 0, -1)]}, "at most 100"),
    ],
)
def test_lists_that_are_no_steps_are_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match="can't be used") as caught:
        Recipe.checked(LISTED.model_dump() | fields)
    assert reason in str(caught.value)


def test_a_branch_has_its_parents_list_of_steps_or_none() -> None:
    branch = branch_of(LISTED)
    assert branch.timesteps(1000).tolist() == [499, 9]
    with pytest.raises(RecipeError, match="its parent's step_t"):
        Recipe.checked(LISTED.model_dump() | {"steps": 49, "parent": PLAIN, "frame": 1})


def test_a_branch_has_no_variation() -> None:
    with pytest.raises(RecipeError, match="has no variation"):
        branch_of(PLAIN).checked(dict(branch_of(PLAIN)) | {"variation_seed": 1})
