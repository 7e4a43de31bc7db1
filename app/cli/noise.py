"""`python -m app noise`: noise a picture, compare schedules, and denoise it from any t."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.pictures import (
    PICTURE_HELP,
    ClassName,
    chosen_class,
    csv_bytes,
    save,
    save_films,
    source_named,
    way_back,
)
from app.fields import Fields, Value, limited
from app.laboratory.experiment import DECODING_STEPS
from app.laboratory.experiments import Chain, Denoising, ForwardStrip, PosteriorStep
from app.laboratory.fields import ScheduleChoice
from app.laboratory.noise import NoiseLab
from app.settings import Settings
from app.studio import Studio


def command(
    picture: Annotated[str, typer.Argument(help=PICTURE_HELP)],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("laboratory"),
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    schedule: Annotated[
        str | None,
        typer.Option(help="linear, scaled_linear, cosine or sigmoid instead of the model's own."),
    ] = None,
    animation: Annotated[bool, typer.Option(help="Also write the strip as a GIF.")] = False,
    schedules: Annotated[
        bool, typer.Option(help="Compare the schedules: a strip each, their curves in a CSV.")
    ] = False,
    chain: Annotated[
        int | None, typer.Option(help="Draw x_t at this t by single steps and at once.")
    ] = None,
    inspect: Annotated[
        int | None, typer.Option(help="Show the posterior at this t beside the model's.")
    ] = None,
    denoise: Annotated[
        int | None, typer.Option(help="Run the reverse process from x_t at this t.")
    ] = None,
    class_name: ClassName = None,
    **how: Annotated[
        Value,
        Fields(ForwardStrip, ("moments", "fresh")),
        Fields(ScheduleChoice),
        way_back(4),
        Fields(ForwardStrip),
        *(Fields(kind, without=("t", "clip")) for kind in (Chain, PosteriorStep, Denoising)),
    ],
) -> None:
    """Noise a picture step by step; each PNG carries what it takes to draw it again."""
    studio = Studio(Settings.from_environment())
    lab, info = studio.noise_lab, studio.models.describe(how["model"])
    how["label"] = chosen_class(how["label"], class_name)
    sources = [source_named(picture, info, fit, how["label"])]
    own = {name: how.pop(name) for name in ("beta_start", "beta_end")}
    how = limited(how, info.num_train_timesteps, steps=DECODING_STEPS)
    how |= {"eta": 1.0, "schedule": {"name": schedule, **own} if schedule else None}
    noising = ForwardStrip.of(how, sources)
    asked = ((Chain, chain), (PosteriorStep, inspect), (Denoising, denoise))
    others = [kind.of(how | {"t": t}, sources) for kind, t in asked if t is not None]
    others = [lab.complete(it).request if isinstance(it, Denoising) else it for it in others]
    _write_strip(lab, noising, out, animation=animation)
    if schedules:
        _compare_schedules(lab, noising, out)
    for experiment in others:
        match experiment:
            case Chain():
                _compare_chain(lab, experiment, out)
            case PosteriorStep():
                _inspect(lab, experiment, out)
            case Denoising():
                steps = lab.network_steps(experiment) + 1
                save_films(lab.films, experiment, steps, "denoising", out)


def _write_strip(lab: NoiseLab, noising: ForwardStrip, out: Path, *, animation: bool) -> None:
    strip = lab.strip(noising)
    typer.echo("   t   alpha_bar   SNR dB    mean     std")
    for moment in strip.moments:
        seen = moment.sample
        typer.echo(
            f"{moment.t:4}   {moment.signal:9.6f} {moment.snr_db:8.2f} "
            f"{seen.mean:7.4f} {seen.std:7.4f}"
        )
    typer.echo(f"L_T = {strip.prior_bpd:.3g} bits/dim")
    save(out, f"{strip.name}.png", strip.png())
    if animation:
        save(out, f"{strip.name}.gif", strip.animation("gif"))


def _compare_schedules(lab: NoiseLab, noising: ForwardStrip, out: Path) -> None:
    found = lab.schedules(noising.model, noising.source, noising.schedule)
    typer.echo("L_T in bits/dim")
    for curves in found:
        typer.echo(f"{curves.prior_bpd:11.3e}   {curves.label}")
        strip = lab.strip(noising.model_copy(update={"schedule": curves.choice}))
        name = f"{noising.model}-{curves.label.replace(' ', '-')}"
        save(out, f"{name}.png", strip.png())
    rows = (
        (curves.label, *point)
        for curves in found
        for point in zip(curves.t, curves.beta, curves.alpha_bar, curves.log_snr, strict=True)
    )
    table = csv_bytes(("schedule", "t", "beta", "alpha_bar", "log_snr"), rows)
    save(out, f"{noising.model}-schedules.csv", table)


def _compare_chain(lab: NoiseLab, chain: Chain, out: Path) -> None:
    found = lab.chain(chain)
    typer.echo(f"x_t at t = {chain.t}; expected std {found.expected_std:.4f}")
    for name, seen in (("by single steps", found.chain), ("at once", found.closed)):
        share = "none" if seen.correlation is None else f"{seen.correlation:.4f}"
        typer.echo(
            f"{name:15}   mean {seen.mean:7.4f}   std {seen.std:.4f}   correlation with x_0 {share}"
        )
    save(out, f"{chain.model}-chain-{chain.t}.png", found.png())


def _inspect(lab: NoiseLab, inspection: PosteriorStep, out: Path) -> None:
    view = lab.inspect(inspection)
    typer.echo(
        f"mu_tilde = {view.coefficient_x_0:.6f} x_0 + {view.coefficient_x_t:.6f} x_t   "
        f"beta_tilde {view.beta_tilde:.3e}   beta {view.beta:.3e}   "
        f"mu_theta - mu_tilde: rms {view.difference_rms:.3e}, at most {view.difference_scale:.3e}"
    )
    save(out, f"{inspection.model}-posterior-{inspection.t}.png", view.png())
