"""`python -m app serve`: open the page."""

from importlib import import_module


def command() -> None:
    """Open the page; GRADIO_SERVER_PORT and the other variables in docs/settings.md apply."""
    from app.settings import Settings

    settings = Settings.from_environment()
    if settings.zero_gpu:
        # `spaces` refuses to be imported after a library has asked torch for a GPU.
        import_module("spaces")
    from app.ui.page import serve

    serve(settings)
