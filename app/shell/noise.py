"""`python -m app noise`: noise a picture, compare schedules, and denoise it from any t."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.shell.laboratory import LABEL_HELP, PICTURE_HELP, save, source_named, watched

if TYPE_CHECKING:
    from app.service.laboratory.experiments import Chain, Denoising, Inspection, Noising
    from app.service.laboratory.noise import NoiseLab
    from app.service.laboratory.schedules import ScheduleCurves


def command(
    picture: Annotated[str, typer.Argument(help=PICTURE_HELP)],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("laboratory"),
    model: Annotated[str, typer.Option(help="A model's id.")] = "impressionist-64",
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    moments: Annotated[int, typer.Option(help="Pictures in the strip, 2 to 64.")] = 10,
    schedule: Annotated[
        str | None,
        typer.Option(help="linear, scaled_linear, cosine or sigmoid instead of the model's own."),
    ] = None,
    beta_start: Annotated[float, typer.Option(help="Of that schedule.")] = 1e-4,
    beta_end: Annotated[float, typer.Option(help="Of that schedule.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    fresh: Annotated[bool, typer.Option(help="New noise for each moment of the strip.")] = False,
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
    variations: Annotated[int, typer.Option(help="Of denoise, 1 to 16.")] = 4,
    sampler: Annotated[str, typer.Option(help="Of denoise.")] = "ddpm",
    steps: Annotated[int, typer.Option(help="Of denoise, counted from T.")] = 250,
    precision: Annotated[str, typer.Option(help="exact or fast.")] = "exact",
    label: Annotated[int | None, typer.Option(help=LABEL_HELP)] = None,
) -> None:
    """Noise a picture step by step; each PNG carries what it takes to draw it again."""
    from app.service.laboratory.experiments import Chain, Denoising, Inspection, Noising
    from app.service.recipe import Recipe
    from app.service.studio import Studio
    from app.settings import Settings

    studio = Studio(Settings.from_environment())
    lab, info = studio.noise_lab, studio.models.describe(model)
    source = source_named(picture, info, fit, label)
    own = {"name": schedule, "beta_start": beta_start, "beta_end": beta_end} if schedule else None
    what = {"model": model, "source": source, "seed": seed}
    noising = Noising.checked(what | {"schedule": own, "moments": moments, "fresh": fresh})
    others: list[Chain | Inspection | Denoising] = []
    if chain is not None:
        others.append(Chain.checked(what | {"schedule": own, "t": chain}))
    if inspect is not None:
        how = {"precision": precision, "label": label}
        others.append(Inspection.checked(what | how | {"t": inspect}))
    if denoise is not None:
        wish = {"model": model, "sampler": sampler, "steps": steps, "eta": 1.0, "seed": seed}
        wish |= {"pictures": variations, "precision": precision, "label": label}
        run = Recipe.checked(wish)
        del what["model"]
        others.append(lab.complete(Denoising.checked(what | {"run": run, "t": denoise})))
    _write_strip(lab, noising, out, animation=animation)
    if schedules:
        _compare_schedules(lab, noising, out)
    for experiment in others:
        match experiment:
            case Chain():
                _compare_chain(lab, experiment, out)
            case Inspection():
                _inspect(lab, experiment, out)
            case Denoising():
                _denoise(lab, experiment, out)


def _write_strip(lab: "NoiseLab", noising: "Noising", out: Path, *, animation: bool) -> None:
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


def _compare_schedules(lab: "NoiseLab", noising: "Noising", out: Path) -> None:
    found = lab.schedules(noising.model, noising.source, noising.schedule)
    typer.echo("L_T in bits/dim")
    for curves in found:
        typer.echo(f"{curves.prior_bpd:11.3e}   {curves.label}")
        strip = lab.strip(noising.model_copy(update={"schedule": curves.choice}))
        name = f"{noising.model}-{curves.label.replace(' ', '-')}"
        save(out, f"{name}.png", strip.png())
    save(out, f"{noising.model}-schedules.csv", schedules_csv(found).encode())


def schedules_csv(found: "Sequence[ScheduleCurves]") -> str:
    """The curves as lines of schedule, t, beta, alpha_bar, log_snr."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("schedule", "t", "beta", "alpha_bar", "log_snr"))
    for c in found:
        points = zip(c.t, c.beta, c.alpha_bar, c.log_snr, strict=True)
        table.writerows((c.label, *point) for point in points)
    return text.getvalue()


def _compare_chain(lab: "NoiseLab", chain: "Chain", out: Path) -> None:
    found = lab.chain(chain)
    typer.echo(f"x_t at t = {chain.t}; expected std {found.expected_std:.4f}")
    for name, seen in (("by single steps", found.chain), ("at once", found.closed)):
        share = "none" if seen.correlation is None else f"{seen.correlation:.4f}"
        typer.echo(
            f"{name:15}   mean {seen.mean:7.4f}   std {seen.std:.4f}   correlation with x_0 {share}"
        )
    save(out, f"{chain.model}-chain-{chain.t}.png", found.png())


def _inspect(lab: "NoiseLab", inspection: "Inspection", out: Path) -> None:
    view = lab.inspect(inspection)
    typer.echo(
        f"mu_tilde = {view.coefficient_x_0:.6f} x_0 + {view.coefficient_x_t:.6f} x_t   "
        f"beta_tilde {view.beta_tilde:.3e}   beta {view.beta:.3e}   "
        f"mu_theta - mu_tilde: rms {view.difference_rms:.3e}, at most {view.difference_scale:.3e}"
    )
    save(out, f"{inspection.model}-posterior-{inspection.t}.png", view.png())


def _denoise(lab: "NoiseLab", denoising: "Denoising", out: Path) -> None:
    steps = lab.network_steps(denoising) + 1
    for _ in watched(lab.denoise(denoising), steps, "denoising"):
        pass
    for result in lab.results(denoising):
        save(out, f"{result.name}.png", result.png())
        save(out, f"{result.name}-strip.png", result.strip())
