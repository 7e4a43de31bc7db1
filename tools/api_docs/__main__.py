"""`python -m tools.api_docs`: write the description of the API."""

import typer

from app.settings import ROOT
from tools.run import run


def command() -> None:
    """Rewrite the endpoints of docs/api.md, and docs/openapi.json, from the code that answers."""
    from tools.api_docs.openapi import openapi_text
    from tools.api_docs.reference import rewritten, sections

    known, page, description = sections(), ROOT / "docs" / "api.md", ROOT / "docs" / "openapi.json"
    page.write_text(rewritten(page.read_text(encoding="utf-8"), known), encoding="utf-8")
    endpoints = [each for section in known.values() for each in section]
    description.write_text(openapi_text(endpoints), encoding="utf-8")
    typer.echo(f"wrote {len(endpoints)} endpoints to {page} and {description}")


if __name__ == "__main__":
    run(command)
