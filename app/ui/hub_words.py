"""What the Hub's panel says, as HTML; all that comes from elsewhere is escaped."""

import base64
from html import escape

from app.service.hub.publish import Publication


def status(words: str, *, fault: bool = False) -> str:
    """A line that says how something is going, and is read aloud."""
    kind = "studio-hub-status studio-hub-fault" if fault else "studio-hub-status"
    return f'<p class="{kind}" role="status">{escape(words)}</p>'


def linked(words: str, address: str) -> str:
    """A status line that ends in a link."""
    safe = escape(address, quote=True)
    link = f'<a href="{safe}" target="_blank" rel="noopener">{safe}</a>'
    return f'<p class="studio-hub-status" role="status">{escape(words)} {link}</p>'


def preview(publication: Publication) -> str:
    """All that would be published: who sees it, the files, the card, the samples."""
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
