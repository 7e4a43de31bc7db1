"""Write docs/api.md and docs/openapi.json."""
