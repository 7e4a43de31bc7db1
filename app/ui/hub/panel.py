"""The header's panel: bring a model from the Hub, or publish the chosen one there.

All that comes from elsewhere is escaped. A person first sees what would be published, then agrees
to it by a click on a button that says so.
"""

import base64
from collections.abc import Generator, Iterator
from html import escape
from typing import Any, Final

import gradio as gr

from app.errors import HubError
from app.hub.card import LICENCES
from app.hub.publish import Publication
from app.hub.repository import MAX_REVISION
from app.hub.transfer import Transfer
from app.studio import Studio
from app.ui.components.layout import chosen_model, model_choices, quiet
from app.ui.errors import explained


def status(words: str, *, fault: bool = False, address: str = "") -> str:
    """Return a line that says how something is going, as HTML that is read aloud.

    Args:
        words: What the line says.
        fault: Whether it failed.
        address: The address of a link at the line's end; empty for none.
    """
    kind = "studio-hub-status studio-hub-fault" if fault else "studio-hub-status"
    safe = escape(address, quote=True)
    link = f' <a href="{safe}" target="_blank" rel="noopener">{safe}</a>' if address else ""
    return f'<p class="{kind}" role="status">{escape(words)}{link}</p>'


def transferring() -> dict[str, Any]:
    """Return the options of events that wait for the Hub."""
    return quiet() | {"concurrency_id": "hub", "concurrency_limit": 2}


def preview(publication: Publication) -> str:
    """Show all that would be published, as HTML: who sees it, the files, the card, the samples."""
    rows = "".join(
        f"<tr><td>{escape(file.path)}</td><td>{file.size:,} bytes</td></tr>"
        for file in publication.files
    )
    samples = base64.b64encode(publication.samples).decode()
    return (
        f'<div class="studio-hub-preview"><p><strong>{escape(publication.in_words)}</strong></p>'
        f"<table>{rows}</table><p>The card, README.md:</p><pre>{escape(publication.card)}</pre>"
        f'<p>samples.png:</p><img alt="samples" src="data:image/png;base64,{samples}"></div>'
    )


ABOUT_PUBLISHING: Final = (
    "Publish the chosen model, if it is one that you trained. You see first what it is."
)
SHOWN: Final = "This is all that would be published. Nothing is sent before you click, at the end."
TOKEN_INFO: Final = "one that may write; it is used once and kept nowhere"
ENVIRONMENT_INFO: Final = f"{TOKEN_INFO}. Empty: HF_TOKEN's, or this machine's login"


def publish_panel(studio: Studio, model: gr.Dropdown) -> None:
    """Build the part of the panel that publishes the chosen model."""
    settings = studio.settings
    with gr.Row(elem_classes="studio-hub-row"):
        target = gr.Textbox(label="publish as", placeholder="you/name", max_lines=1, max_length=120)
        licence = gr.Dropdown([("the base model's", ""), *LICENCES], value="", label="licence")
        private = gr.Checkbox(True, label="private", elem_classes="studio-hub-tick")
        replace = gr.Checkbox(
            False, label="may replace what is there", elem_classes="studio-hub-tick"
        )
        look = gr.Button("See what would be published", size="sm")
    line, shown = gr.HTML(status(ABOUT_PUBLISHING)), gr.HTML(visible=False)
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
            found = studio.publisher.preview(
                studio.own_model(model), target, licence=licence, private=private, replace=replace
            )
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
            if publication is None:
                raise HubError("Nothing was shown yet.", "See first what would be published.")
            stream = studio.publisher.push(publication, account(studio, typed, oauth))
            while True:
                try:
                    # The typed token leaves the page at once.
                    yield status(next(stream).in_words), *wait, ""
                except StopIteration as end:
                    yield status("It is published:", address=end.value), *_hidden(), ""
                    return
        except Exception as error:
            yield status(str(explained(error)), fault=True), *wait, ""

    outputs = [line, shown, agreeing, publish, publication]
    chosen: list[Any] = [model, target, licence, private, replace]
    look.click(looked, chosen, outputs, **transferring())
    publish.click(published, [publication, token], [*outputs, token], **transferring())
    # A person agrees to what they saw: after another choice, they have to look again.
    for control in chosen:
        control.change(
            lambda: (status(ABOUT_PUBLISHING), *_hidden()), outputs=outputs, queue=False, **quiet()
        )


def _hidden() -> tuple[Any, Any, Any, None]:
    """Return updates that leave nothing to agree to: preview, row under it, button, publication."""
    return gr.update(value="", visible=False), gr.update(visible=False), gr.skip(), None


def account(studio: Studio, typed: str, oauth: gr.OAuthToken | None) -> str | None:
    """Return the token to publish with: typed, from signing in, or None for the machine's login."""
    if typed.strip():
        return typed.strip()
    if oauth is not None:
        return oauth.token
    if studio.settings.single_user:
        return None
    raise HubError("Nobody is named as the account.", "Sign in, or type a token that may write.")


EXAMPLE: Final = "google/ddpm-cifar10-32"
ABOUT: Final = (
    "A DDPM in diffusers' layout with safetensors, of any size. It is downloaded once, "
    "and kept for when there is no network."
)
STOPPED: Final = "Stopped. What is whole is kept; download again to go on."
ELSEWHERE: Final = "Whoever runs this studio decides which models there are."


def hub_panel(studio: Studio, model: gr.Dropdown, button: gr.Button, page: gr.Blocks) -> None:
    """Build the panel under the header, which `button` opens and closes."""
    with gr.Column(visible=False, elem_classes="studio-hub") as panel:
        if studio.settings.may_add_models:
            _add_panel(studio, model)
        else:
            gr.HTML(status(ELSEWHERE))
        publish_panel(studio, model)
    is_open = gr.State(False)

    def toggle(was_open: bool) -> tuple[bool, Any]:
        return not was_open, gr.update(visible=not was_open)

    button.click(toggle, is_open, [is_open, panel], queue=False, **quiet())
    built = model_choices(studio)

    def known() -> Any:
        """List the models anew: some came since the page was built, some are the visitor's own."""
        found = model_choices(studio)
        # An unchanged list isn't sent: Gradio loses the choice while a list is exchanged.
        return gr.skip() if found == built else gr.update(choices=found)

    page.load(known, outputs=model, **quiet())


def _add_panel(studio: Studio, model: gr.Dropdown) -> None:
    with gr.Row(elem_classes="studio-hub-row"):
        name = gr.Textbox(label="another model", placeholder=EXAMPLE, max_lines=1, max_length=120)
        revision = gr.Textbox(
            label="revision", placeholder="main", max_lines=1, max_length=MAX_REVISION
        )
        download = gr.Button("Download", size="sm")
        stop = gr.Button("Stop", size="sm")
    line = gr.HTML(status(ABOUT))

    def add(name: str, revision: str) -> Iterator[tuple[str, Any]]:
        yield status("asking the Hub"), gr.skip()
        try:
            info = yield from _told(studio.hub.add(name, revision))
        except Exception as error:
            yield status(str(explained(error)), fault=True), gr.skip()
            return
        yield status(f"{info.summary} is here, and chosen."), chosen_model(studio, info.id)

    events: list[Any] = [
        trigger(add, [name, revision], [line, model], **transferring())
        for trigger in (download.click, name.submit, revision.submit)
    ]
    stop.click(lambda: status(STOPPED), outputs=line, cancels=events, **quiet())


def _told(stream: Generator[Transfer, None, Any]) -> Generator[tuple[str, Any], None, Any]:
    """Yield a transfer's progress as status lines, each percent once."""
    percent = -1
    try:
        while True:
            transfer = next(stream)
            now = 100 * transfer.done // max(1, transfer.total)
            if now != percent:
                percent = now
                yield status(f"{now} % · {transfer.in_words}"), gr.skip()
    except StopIteration as end:
        return end.value
    finally:
        stream.close()
