"""What the laboratory's instruments send is read with suspicion."""

import gradio as gr
import pytest

from app.service.model_configs import MAX_TIMESTEPS
from app.ui.instrument import TimeSlider


def test_the_slider_gives_every_t_that_a_model_may_have() -> None:
    slider = TimeSlider(tab="noise")
    assert slider.preprocess(f"{MAX_TIMESTEPS}/{MAX_TIMESTEPS}") == MAX_TIMESTEPS


@pytest.mark.parametrize("sent", [None, "", "5", "-1/1000", "1e3/1000", "1/2/3", "100000/100000"])
def test_what_is_no_t_is_refused(sent: str | None) -> None:
    with pytest.raises(gr.Error, match="can't be read"):
        TimeSlider(tab="noise").preprocess(sent)
