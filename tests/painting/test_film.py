"""What is kept, and what goes first."""

from app.painting.recipe import Recipe
from app.painting.runs import Recent


def recipe(seed: int) -> Recipe:
    return Recipe(model="tiny", seed=seed)


def test_the_one_used_longest_ago_goes_first() -> None:
    kept: Recent[str] = Recent(max_bytes=10)
    kept.put(recipe(1), "one", 4)
    kept.put(recipe(2), "two", 4)
    assert kept.get(recipe(1)) == "one"
    kept.put(recipe(3), "three", 4)
    assert kept.get(recipe(2)) is None
    assert (kept.get(recipe(1)), kept.get(recipe(3))) == ("one", "three")
    assert kept.nbytes == 8


def test_the_newest_stays_even_over_the_budget() -> None:
    kept: Recent[str] = Recent(max_bytes=10)
    kept.put(recipe(1), "small", 4)
    kept.put(recipe(2), "large", 40)
    assert kept.get(recipe(1)) is None
    assert kept.get(recipe(2)) == "large"


def test_a_large_one_leaves_once_another_comes() -> None:
    kept: Recent[str] = Recent(max_bytes=10)
    kept.put(recipe(1), "large", 40)
    kept.put(recipe(2), "small", 4)
    assert (kept.get(recipe(1)), kept.get(recipe(2))) == (None, "small")


def test_what_is_made_again_takes_the_place_of_the_first() -> None:
    kept: Recent[str] = Recent(max_bytes=10)
    kept.put(recipe(1), "one", 4)
    kept.put(recipe(2), "two", 4)
    kept.put(recipe(1), "longer", 6)
    assert (kept.get(recipe(1)), kept.get(recipe(2)), kept.nbytes) == ("longer", "two", 10)
    kept.put(recipe(1), "longest", 7)
    assert (kept.get(recipe(1)), kept.get(recipe(2)), kept.nbytes) == ("longest", None, 7)
