"""`python -m app serve`: open the page."""


def command() -> None:
    """Open the page; GRADIO_SERVER_PORT and the other variables in docs/settings.md apply."""
    from app.settings import Settings
    from app.ui.page import serve

    serve(Settings.from_environment())
