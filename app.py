"""The page's entry, on a laptop and on a Space: settings -> studio -> page -> launch."""

from app.settings import Settings
from app.ui.page import serve

if __name__ == "__main__":
    serve(Settings.from_environment())
