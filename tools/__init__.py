"""Tools for developers of the studio, which are not shipped with it."""
