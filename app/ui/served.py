"""Files of the page's own under addresses that a browser keeps for good.

An address holds the hash of its contents, so it never means anything else.
"""

import hashlib
from mimetypes import guess_type
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = "studio"
FOR_GOOD: Final = "public, max-age=31536000, immutable"

_SERVED: dict[str, bytes] = {}


def served(data: bytes, ending: str) -> str:
    """Serve `data`, a file of the page's own, and return its address relative to the page's."""
    name = f"{hashlib.sha256(data).hexdigest()[:32]}.{ending}"
    _SERVED[name] = data
    return f"{FOLDER}/{name}"


def _answer(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _SERVED:
        return Response(status_code=404)
    headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
    return Response(_SERVED[name], media_type=guess_type(name)[0], headers=headers)


ROUTES: Final = (Route(f"/{FOLDER}/{{name}}", _answer),)
"""For `launch(app_kwargs={"routes": [...]})`."""
