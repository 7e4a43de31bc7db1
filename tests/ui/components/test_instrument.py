"""What the laboratory's instruments send is read with suspicion."""

import gradio as gr
import pytest

from app.diffusion.schedule import MAX_T
from app.ui.components.instrument import TimeSlider


def test_the_slider_gives_every_t_that_a_model_may_have() -> None:
    slider = TimeSlider(tab="noise")
    assert slider.preprocess(f"{MAX_T}/{MAX_T}") == MAX_T


@pytest.mark.parametrize("payload", [None, "", "5", "-1/10", "1.5/10", "100000/100000"])
def test_what_is_no_t_is_refused(payload: str | None) -> None:
    with pytest.raises(gr.Error, match="Reload"):
        TimeSlider(tab="noise").preprocess(payload)
