"""How the page looks: a painter's studio in daylight and by night, in the system's own fonts."""

from collections.abc import Iterable
from typing import Final

import gradio as gr
from gradio.themes.utils import colors, sizes

from app.settings import ASSETS
from app.ui.tab_list import TABS

# From light to dark: Gradio's c50, c100 to c900, c950.
COBALT: Final = colors.Color(
    *("#F0F4FA", "#DDE7F4", "#BACFE9", "#7FA8E0", "#5C86C0", "#2F5D9B"),
    *("#284F85", "#22426F", "#1B3559", "#142843", "#0D1B2E"),
    name="cobalt",
)
STONE: Final = colors.Color(
    *("#FAF7F0", "#F3EEE2", "#E2DBCB", "#C9C2B3", "#9AA7B2", "#66727C"),
    *("#4C5964", "#36444F", "#2A3947", "#22303C", "#16202A"),
    name="stone",
)

# Each colour by day and by night, and what has it; page.css names the same ones.
_COLOURS: Final = {
    ("#FAF7F0", "#16202A"): "body_background_fill background_fill_secondary",  # canvas
    ("#FFFDF8", "#1C2833"): """background_fill_primary input_background_fill
        input_background_fill_focus checkbox_background_color error_background_fill""",  # paper
    ("#22303C", "#E9E4D8"): """body_text_color block_title_text_color
        button_secondary_text_color error_text_color""",  # ink
    ("#66727C", "#9AA7B2"): """body_text_color_subdued block_label_text_color
        input_border_color_hover input_placeholder_color button_secondary_border_color_hover
        checkbox_border_color checkbox_border_color_hover
        checkbox_label_border_color_hover""",  # quiet
    ("#E2DBCB", "#2A3947"): """border_color_primary border_color_accent_subdued
        button_secondary_border_color table_border_color""",  # line
    ("#2F5D9B", "#7FA8E0"): """border_color_accent link_text_color link_text_color_active
        link_text_color_visited input_border_color_focus button_primary_background_fill
        button_primary_border_color checkbox_background_color_selected
        checkbox_border_color_focus checkbox_border_color_selected
        checkbox_label_border_color_selected slider_color""",  # accent, and under the pointer
    ("#284F85", "#93B7E8"): """link_text_color_hover button_primary_background_fill_hover
        button_primary_border_color_hover""",
    ("#FFFFFF", "#16202A"): "button_primary_text_color",  # on the accent
    ("#EDF1F5", "#22354A"): """color_accent_soft button_secondary_background_fill_hover
        checkbox_label_background_fill_selected stat_background_fill
        code_background_fill""",  # wash
    ("#C2533B", "#D9775F"): """button_cancel_border_color button_cancel_border_color_hover
        button_cancel_text_color button_cancel_text_color_hover error_border_color
        error_icon_color""",  # poppy
    ("transparent", "transparent"): """block_background_fill block_label_background_fill
        block_label_border_color panel_background_fill button_secondary_background_fill
        table_even_background_fill table_odd_background_fill""",  # clear
}

_PLAIN: Final = {
    "block_border_width": "0px",
    "block_padding": "0px",
    "block_title_text_size": "*text_sm",
    "block_title_text_weight": "500",
    "block_info_text_size": "12px",
    "panel_border_width": "0px",
    "input_shadow_focus": "0 0 0 1px *color_accent",
    "input_border_width": "1px",
    "button_large_padding": "11px 20px",
    "checkbox_label_padding": "6px 12px",
    "layout_gap": "14px",
    "shadow_drop": "0 1px 2px rgb(34 48 60 / 6%)",
    "shadow_drop_lg": "0 6px 24px rgb(34 48 60 / 10%)",
    "prose_header_text_weight": "500",
}


class StudioTheme(gr.themes.Base):
    """The studio's colours, radii and fonts; nothing is loaded from another host."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=COBALT,
            secondary_hue=COBALT,
            neutral_hue=STONE,
            text_size=sizes.text_md,
            radius_size=sizes.radius_md,
            font=("system-ui", "sans-serif"),
            font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
        )
        self.name = "plein-air"
        coloured = {name: pair for pair, names in _COLOURS.items() for name in names.split()}
        by_day = {name: day for name, (day, _) in coloured.items()}
        by_night = {f"{name}_dark": night for name, (_, night) in coloured.items()}
        self.set(**_PLAIN, **by_day, **by_night)


def _assets(names: Iterable[str]) -> str:
    return "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in names)


STUDIO_CSS: Final = _assets(["page.css"])
"""For `launch(css=...)`: the page round the players."""

_FILES: Final = (
    *("components/player.css", "components/labs.css", "components/present.css"),
    *("components/tour.css", "components/print.css", "components/present.js", "components/tour.js"),
    *("components/film.js", "components/player_view.js", "components/core.js"),
    *("components/runs.js", "components/address.js", "components/seed.js"),
    *("components/player_controls.js", "components/player.js", "components/examples.js"),
    *("components/time.js", "components/picker.js", "components/working.js"),
    *("components/plot_values.js", "components/plots.js"),
    *("components/keyboard.js", "components/photo.js"),
    *(f"{tab.id}/{file.name}" for tab in TABS for file in sorted((ASSETS / tab.id).glob("*"))),
)
_SCRIPTS: Final = _assets(name for name in _FILES if name.endswith(".js"))
_STYLES: Final = _assets(name for name in _FILES if name.endswith(".css"))

# Gradio rewrites what it gets as css= and drops container queries, so these go by head=.
STUDIO_HEAD: Final = (
    f"<style>{_STYLES}</style>"
    f"<script>{_assets(['page.js'])}</script><script>(() => {{\n{_SCRIPTS}\n}})();</script>"
)
"""For `launch(head=...)`: the players' and instruments' style, the night switch, dropped PNGs."""

NIGHT_SWITCH: Final = (
    '<button type="button" class="studio-night" aria-label="night colours" '
    'aria-pressed="false" title="day or night">\u25d0</button>'
)
"""HTML of the header's switch between day and night."""

STUDIO_NAME: Final = (
    '<button type="button" class="studio-skip">Skip to the main button</button>'
    '<h1 class="studio-name">Plein Air</h1>'
)
"""HTML of the header's name, and before it of what leads past the header and the settings."""
