"""How the page looks: a painter's studio in daylight and by night, in the system's own fonts."""

from typing import Final

import gradio as gr
from gradio.themes.utils import colors, sizes

from app.settings import ASSETS

SANS: Final = ("system-ui", "sans-serif")
MONO: Final = ("ui-monospace", "Menlo", "Consolas", "monospace")

COBALT: Final = colors.Color(
    name="cobalt",
    c50="#F0F4FA",
    c100="#DDE7F4",
    c200="#BACFE9",
    c300="#7FA8E0",
    c400="#5C86C0",
    c500="#2F5D9B",
    c600="#284F85",
    c700="#22426F",
    c800="#1B3559",
    c900="#142843",
    c950="#0D1B2E",
)
STONE: Final = colors.Color(
    name="stone",
    c50="#FAF7F0",
    c100="#F3EEE2",
    c200="#E2DBCB",
    c300="#C9C2B3",
    c400="#9AA7B2",
    c500="#66727C",
    c600="#4C5964",
    c700="#36444F",
    c800="#2A3947",
    c900="#22303C",
    c950="#16202A",
)

# Each pair is a colour by day and by night; studio.css names the same ones.
CANVAS: Final = ("#FAF7F0", "#16202A")
PAPER: Final = ("#FFFDF8", "#1C2833")
INK: Final = ("#22303C", "#E9E4D8")
QUIET: Final = ("#66727C", "#9AA7B2")
LINE: Final = ("#E2DBCB", "#2A3947")
ACCENT: Final = ("#2F5D9B", "#7FA8E0")
ACCENT_HOVER: Final = ("#284F85", "#93B7E8")
ON_ACCENT: Final = ("#FFFFFF", "#16202A")
WASH: Final = ("#EDF1F5", "#22354A")
POPPY: Final = ("#C2533B", "#D9775F")
CLEAR: Final = ("transparent", "transparent")

_PAIRS: Final = {
    "body_background_fill": CANVAS,
    "body_text_color": INK,
    "body_text_color_subdued": QUIET,
    "background_fill_primary": PAPER,
    "background_fill_secondary": CANVAS,
    "border_color_primary": LINE,
    "border_color_accent": ACCENT,
    "border_color_accent_subdued": LINE,
    "color_accent_soft": WASH,
    "link_text_color": ACCENT,
    "link_text_color_hover": ACCENT_HOVER,
    "link_text_color_active": ACCENT,
    "link_text_color_visited": ACCENT,
    "accordion_text_color": INK,
    "block_background_fill": CLEAR,
    "block_border_color": LINE,
    "block_info_text_color": QUIET,
    "block_label_background_fill": CLEAR,
    "block_label_border_color": CLEAR,
    "block_label_text_color": QUIET,
    "block_title_text_color": INK,
    "panel_background_fill": CLEAR,
    "panel_border_color": LINE,
    "input_background_fill": PAPER,
    "input_background_fill_focus": PAPER,
    "input_background_fill_hover": PAPER,
    "input_border_color": LINE,
    "input_border_color_focus": ACCENT,
    "input_border_color_hover": QUIET,
    "input_placeholder_color": QUIET,
    "button_primary_background_fill": ACCENT,
    "button_primary_background_fill_hover": ACCENT_HOVER,
    "button_primary_border_color": ACCENT,
    "button_primary_border_color_hover": ACCENT_HOVER,
    "button_primary_text_color": ON_ACCENT,
    "button_primary_text_color_hover": ON_ACCENT,
    "button_secondary_background_fill": CLEAR,
    "button_secondary_background_fill_hover": WASH,
    "button_secondary_border_color": LINE,
    "button_secondary_border_color_hover": QUIET,
    "button_secondary_text_color": INK,
    "button_secondary_text_color_hover": INK,
    "button_cancel_background_fill": CLEAR,
    "button_cancel_background_fill_hover": WASH,
    "button_cancel_border_color": POPPY,
    "button_cancel_border_color_hover": POPPY,
    "button_cancel_text_color": POPPY,
    "button_cancel_text_color_hover": POPPY,
    "checkbox_background_color": PAPER,
    "checkbox_background_color_focus": PAPER,
    "checkbox_background_color_hover": PAPER,
    "checkbox_background_color_selected": ACCENT,
    "checkbox_border_color": QUIET,
    "checkbox_border_color_focus": ACCENT,
    "checkbox_border_color_hover": QUIET,
    "checkbox_border_color_selected": ACCENT,
    "checkbox_label_background_fill": CLEAR,
    "checkbox_label_background_fill_hover": WASH,
    "checkbox_label_background_fill_selected": WASH,
    "checkbox_label_border_color": LINE,
    "checkbox_label_border_color_hover": QUIET,
    "checkbox_label_border_color_selected": ACCENT,
    "checkbox_label_text_color": INK,
    "checkbox_label_text_color_selected": INK,
    "slider_color": ACCENT,
    "stat_background_fill": WASH,
    "table_border_color": LINE,
    "table_even_background_fill": CLEAR,
    "table_odd_background_fill": CLEAR,
    "table_text_color": INK,
    "code_background_fill": WASH,
    "error_background_fill": PAPER,
    "error_border_color": POPPY,
    "error_text_color": INK,
    "error_icon_color": POPPY,
}

_PLAIN: Final = {
    "color_accent": "*primary_500",
    "loader_color": "*primary_500",
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "block_title_text_size": "*text_sm",
    "block_title_text_weight": "500",
    "block_label_text_size": "*text_sm",
    "block_info_text_size": "*text_xs",
    "panel_border_width": "0px",
    "input_shadow": "none",
    "input_shadow_focus": "0 0 0 1px *color_accent",
    "input_border_width": "1px",
    "button_border_width": "1px",
    "button_large_padding": "11px 20px",
    "button_large_text_weight": "600",
    "button_primary_shadow": "none",
    "button_secondary_shadow": "none",
    "checkbox_label_padding": "6px 12px",
    "form_gap_width": "0px",
    "layout_gap": "14px",
    "shadow_drop": "0 1px 2px rgb(34 48 60 / 6%)",
    "shadow_drop_lg": "0 6px 24px rgb(34 48 60 / 10%)",
    "prose_header_text_weight": "500",
}


class StudioTheme(gr.themes.Base):
    """The studio's colours, radii and fonts; nothing of it comes from another host."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=COBALT,
            secondary_hue=COBALT,
            neutral_hue=STONE,
            text_size=sizes.text_md,
            radius_size=sizes.radius_md,
            font=SANS,
            font_mono=MONO,
        )
        self.name = "plein-air"
        by_day = {name: pair[0] for name, pair in _PAIRS.items()}
        by_night = {f"{name}_dark": pair[1] for name, pair in _PAIRS.items()}
        self.set(**_PLAIN, **by_day, **by_night)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


STUDIO_CSS: Final = _asset("studio.css")
"""For `launch(css=...)`: the page round the players."""

_LABS: Final = "\n".join(
    _asset(f"{name}.js")
    for name in (
        *("film", "player_view", "lab_core", "lab_time", "lab_picker", "lab_plots"),
        *("lab_noise", "lab_schedules", "lab_mix", "lab_bound"),
        *("train_set", "train_job", "train_markup", "train", "labs"),
    )
)

# Gradio rewrites what it gets as css= and drops container queries, so these go by head=.
STUDIO_HEAD: Final = (
    f"<style>{_asset('player.css')}{_asset('labs.css')}{_asset('train.css')}</style>"
    f"<script>{_asset('studio.js')}</script><script>(() => {{\n{_LABS}\n}})();</script>"
)
"""For `launch(head=...)`: the players' and instruments' style, the night switch, dropped PNGs."""

NIGHT_SWITCH: Final = (
    '<button type="button" class="studio-night" aria-label="night colours" '
    'aria-pressed="false" title="day or night">\u25d0</button>'
)
"""HTML of the header's switch between day and night."""

STUDIO_NAME: Final = '<h1 class="studio-name">Plein Air</h1>'
"""HTML of the header's name."""
