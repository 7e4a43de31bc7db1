"""Publishing the chosen model on the Hub: look first, then agree by a click that says what."""

from collections.abc import Iterator
from typing import Any, Final

import gradio as gr

from app.errors import HubError
from app.service.hub.card import LICENCES
from app.service.hub.publish import Publication
from app.service.hub.story import story_of
from app.service.studio import Studio
from app.ui.faults import explained
from app.ui.hub_words import linked, preview, status

ABOUT: Final = "Publish the chosen model, if it is one that you trained. You see first what it is."
SHOWN: Final = "This is all that would be published. Nothing is sent before you click, at the end."
TOKEN_INFO: Final = "one that may write; it is used once and kept nowhere"
ENVIRONMENT_INFO: Final = f"{TOKEN_INFO}. Empty: HF_TOKEN's, or this machine's login"


def publish_panel(studio: Studio, model: gr.Dropdown) -> None:
    """Build the panel."""
    settings = studio.settings
    with gr.Row(elem_classes="studio-hub-row"):
        target = gr.Textbox(label="publish as", placeholder="you/name", max_lines=1, max_length=120)
        licence = gr.Dropdown([("the base model's", ""), *LICENCES], value="", label="licence")
        private = gr.Checkbox(True, label="private", elem_classes="studio-hub-tick")
        replace = gr.Checkbox(
            False, label="may replace what is there", elem_classes="studio-hub-tick"
        )
        look = gr.Button("See what would be published", size="sm")
    line, shown = gr.HTML(status(ABOUT)), gr.HTML(visible=False)
    with gr.Row(visible=False, elem_classes="studio-hub-row") as agreeing:
        token = gr.Textbox(
            label="token of the Hub",
            type="password",
            max_lines=1,
            max_length=512,
            info=ENVIRONMENT_INFO if settings.single_user else TOKEN_INFO,
        )
        if settings.oauth_client_id:
            gr.LoginButton(size="sm")
        publish = gr.Button("Publish", variant="primary", size="sm")
    publication = gr.State(None)

    def looked(
        model: str, target: str, licence: str, private: bool, replace: bool
    ) -> Iterator[tuple[Any, ...]]:
        yield status("painting samples, writing the card"), *_hidden()
        try:
            found = _preview(studio, model, target, licence, private=private, replace=replace)
        except Exception as error:
            yield status(str(explained(error)), fault=True), *_hidden()
            return
        who = "privately" if found.private else "for everybody to see"
        yield (
            status(SHOWN),
            gr.update(value=preview(found), visible=True),
            gr.update(visible=True),
            gr.update(value=f"Publish {len(found.files)} files {who}"),
            found,
        )

    def published(
        publication: Publication | None, typed: str, oauth: gr.OAuthToken | None
    ) -> Iterator[tuple[Any, ...]]:
        wait = (gr.skip(), gr.skip(), gr.skip(), gr.skip())
        try:
            stream = studio.hub.publisher.push(_agreed(publication), account(studio, typed, oauth))
            while True:
                try:
                    # The typed token leaves the page at once.
                    yield status(next(stream).in_words), *wait, ""
                except StopIteration as end:
                    yield linked("It is published:", str(end.value)), *_hidden(), ""
                    return
        except Exception as error:
            yield status(str(explained(error)), fault=True), *wait, ""

    outputs = [line, shown, agreeing, publish, publication]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    light = quiet | {"concurrency_id": "hub", "concurrency_limit": 2}
    chosen: list[Any] = [model, target, licence, private, replace]
    look.click(looked, chosen, outputs, **light)
    publish.click(published, [publication, token], [*outputs, token], **light)
    # What is agreed to is what was seen: another choice has to be seen first.
    for control in chosen:
        control.change(lambda: (status(ABOUT), *_hidden()), outputs=outputs, queue=False, **quiet)


def _hidden() -> tuple[Any, Any, Any, None]:
    """Nothing to agree to: the preview, the row under it, its button, and what it would send."""
    return gr.update(value="", visible=False), gr.update(visible=False), gr.skip(), None


def _preview(
    studio: Studio, model: str, target: str, licence: str, *, private: bool, replace: bool
) -> Publication:
    files = studio.hub.own(model)
    publisher = studio.hub.publisher
    chosen = licence or publisher.licence_of(story_of(files).base_model)
    if not chosen:
        raise HubError("The base model names no licence.", "Choose one.")
    return publisher.preview(files, target, licence=chosen, private=private, replace=replace)


def _agreed(publication: Publication | None) -> Publication:
    if publication is None:
        raise HubError("Nothing was shown yet.", "See first what would be published.")
    return publication


def account(studio: Studio, typed: str, oauth: gr.OAuthToken | None) -> str | None:
    """Who publishes: the typed token, else who signed in, else the machine's own login."""
    if typed.strip():
        return typed.strip()
    if oauth is not None:
        return oauth.token
    if studio.settings.single_user:
        return None
    raise HubError("Nobody is named as the account.", "Sign in, or type a token that may write.")
