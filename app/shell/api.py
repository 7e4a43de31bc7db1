"""`python -m app api`: write what describes the API."""

import typer

from app.settings import ROOT


def command() -> None:
    """Rewrite the endpoints of docs/api.md, and docs/openapi.json, from the code that answers."""
    from app.ui.openapi import openapi_text
    from app.ui.reference import endpoints, rewritten

    known, page, description = endpoints(), ROOT / "docs" / "api.md", ROOT / "docs" / "openapi.json"
    page.write_text(rewritten(page.read_text(encoding="utf-8"), known), encoding="utf-8")
    description.write_text(openapi_text(known), encoding="utf-8")
    typer.echo(f"wrote {len(known)} endpoints to {page} and {description}")
