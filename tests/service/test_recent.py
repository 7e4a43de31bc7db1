"""What is kept, and what goes first."""

from app.service.recent import Recent
from app.service.recipe import Recipe


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
