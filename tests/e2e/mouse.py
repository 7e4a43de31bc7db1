"""A hand with a mouse."""

from playwright.sync_api import Locator


def drag(track: Locator, *shares: float, steps: int = 1) -> None:
    """Press on a slider's track at the first of these shares of its width, move to the others."""
    track.hover()  # waits until it has come to rest, for a page grows while it loads
    box = track.bounding_box()
    assert box is not None
    mouse, middle = track.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] * shares[0], middle)
    mouse.down()
    for share in shares:
        mouse.move(box["x"] + box["width"] * share, middle, steps=steps)
    mouse.up()
