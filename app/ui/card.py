"""The card by which chats and networks show a link to the page: its name, words and a picture."""

import re
from typing import Final

from gradio.routes import templates
from jinja2 import BaseLoader, ChoiceLoader, DictLoader
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.settings import ASSETS
from app.ui.routes import path_of

ABOUT: Final = (
    "An open-air studio for denoising diffusion: paint in the browser, and watch every step."
)
PICTURE: Final = "/card.jpg"

_PAGE: Final = "frontend/index.html"
_CARDS: Final = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')


def show_card(title: str) -> None:
    """Let the page say what it is where Gradio's own name and picture stand.

    Programs that make such cards run no scripts, so it must be in the page as it is sent.
    """
    loader = templates.env.loader
    if not isinstance(loader, BaseLoader):
        raise RuntimeError("Gradio's page has a template")
    address = "{{ config.get('root', '') }}"
    said = {
        'property="og:title"': title,
        'property="og:description"': ABOUT,
        'property="og:type"': "website",
        'property="og:image"': f"{address}{PICTURE}",
        'name="twitter:card"': "summary_large_image",
    }
    card = "".join(f'<meta {name} content="{words}" />\n' for name, words in said.items())
    page = _CARDS.sub("", loader.get_source(templates.env, _PAGE)[0])
    own = DictLoader({_PAGE: page.replace("<head>", f"<head>\n{card}", 1)})
    templates.env.loader = ChoiceLoader([own, loader])


class CardPicture:
    """Middleware that answers /card.jpg, the card's picture."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        asked = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        if asked and path_of(scope) == PICTURE:
            await FileResponse(ASSETS / "page-day.jpg")(scope, receive, send)
        else:
            await self.app(scope, receive, send)
