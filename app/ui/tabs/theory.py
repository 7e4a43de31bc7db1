"""Theory: the paper in one page, each part with the laboratory where it can be tried."""

from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from app.ui.tabs.lab_parts import LATEX, coloured, quiet


@dataclass(frozen=True)
class Part:
    """A part of the theory: its heading, its text, and where it leads: (button, tab)s.

    "noise/posterior" is a panel of the tab Noise. Neighbouring equations stand beside each other
    where it has `columns`.
    """

    heading: str
    text: str
    leads: tuple[tuple[str, str], ...]
    columns: bool = False


PARTS: Final = (
    Part(
        "The forward process",
        r"""
A picture $x_0$ is buried in noise by $T$ small steps that nobody has to learn (eq. 2):
$$q(x_{@t}\,|\,x_{@t-1}) = \mathcal
N\big(x_{@t};\ \sqrt{1-\beta_{@t}}\,
x_{@t-1},\ \beta_{@t} I\big).$$
With $\alpha_t = 1-\beta_t$ and $\bar\alpha_t = \prod_{s\le t}\alpha_s$ all of them together are
one (eq. 4), so that any $x_t$ can be drawn at once:
$$q(x_{@t}\,|\,x_0) = \mathcal N\big(x_{@t};\
\sqrt{\bar\alpha_{@t}}\,x_0,\
(1-\bar\alpha_{@t}) I\big).$$
""",
        (("Move t in Noise", "noise"),),
    ),
    Part(
        "The reverse process",
        r"""
The way back is learned. Each step is a Gaussian whose mean a network predicts (eq. 1):
$$p_\theta(x_{0:T}) = p(x_T)\prod_{t=1}^{T} p_\theta(x_{t-1}\,|\,x_t),\qquad
p_\theta(x_{t-1}\,|\,x_t) = \mathcal N\big(x_{t-1};\ \mu_\theta(x_t, t),\ \sigma_t^2 I\big),
\qquad p(x_T) = \mathcal N(0, I).$$
For $\sigma_t^2$ both $\beta_t$ and $\tilde\beta_t$ do; they are the two extremes.
""",
        (("Watch it in Paint", "paint"),),
    ),
    Part(
        "The evidence lower bound",
        r"""
What is minimised is a bound on the code length of the data (eqs. 3 and 5). It falls into one
term for each step:
$$\mathbb E\big[-\log p_\theta(x_0)\big] \le \mathbb E_q\Big[
\underbrace{D_{KL}\big(q(x_T|x_0)\,\|\,p(x_T)\big)}_{L_T} + \sum_{t>1}
\underbrace{D_{KL}\big(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)\big)}_{L_{t-1}}
\underbrace{-\log p_\theta(x_0|x_1)}_{L_0}\Big].$$
All of them compare Gaussians, because the forward posterior is one too (eqs. 6 and 7):
$$q(x_{t-1}|x_t,x_0) = \mathcal N\big(\tilde\mu_t, \tilde\beta_t I\big),\quad
\tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}x_0 +
\frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t,\quad
\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t.$$
""",
        (("Compute every term in Bound", "bound"),),
    ),
    Part(
        "From the mean to the noise",
        r"""
Written with $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon$, the mean to
predict is known but for $\epsilon$. So the network predicts that (eq. 11),
$$\mu_\theta(x_t,t) = \frac{1}{\sqrt{\alpha_t}}\Big(x_t -
\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon_\theta(x_t,t)\Big),$$
and a term of the bound becomes a weighted error of the noise (eq. 12):
$$L_{t-1} = \mathbb E_{x_0,\epsilon}\Big[\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}
\big\|\epsilon - \epsilon_\theta(x_t, t)\big\|^2\Big] + C.$$
""",
        (("Inspect the posterior in Noise", "noise/posterior"),),
    ),
    Part(
        "The simple loss",
        r"""
Training drops the weight (eq. 14):
$$L_{simple}(\theta) = \mathbb E_{t,x_0,\epsilon}\Big[\big\|\epsilon -
\epsilon_\theta\big(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon,\ t\big)
\big\|^2\Big].$$
Against the bound it looks away from the first few $t$, where there is hardly any noise, and towards
the large $t$, where the picture is decided. That costs bits and wins paintings.
""",
        (("See both weights in Bound", "bound"),),
    ),
    Part(
        "Training and sampling",
        r"""
$$\begin{array}{l}
\textbf{Algorithm 1: training}\\ \hline
\textbf{repeat}\\
\quad x_0\sim q(x_0)\\
\quad t\sim\mathrm{Uniform}(1,\dots,T)\\
\quad \epsilon\sim\mathcal N(0,I)\\
\quad \text{descend } \nabla_\theta\big\|\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}\,x_0+
\sqrt{1-\bar\alpha_t}\,\epsilon,\ t)\big\|^2\\
\textbf{until } \text{converged}
\end{array}$$
$$\begin{array}{l}
\textbf{Algorithm 2: sampling}\\ \hline
x_T\sim\mathcal N(0,I)\\
\textbf{for } t = T,\dots,1 \textbf{ do}\\
\quad z\sim\mathcal N(0,I)\text{ if }t>1\text{, else }z=0\\
\quad x_{t-1}=\frac{1}{\sqrt{\alpha_t}}\Big(x_t-
\frac{1-\alpha_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon_\theta(x_t,t)\Big)+\sigma_t z\\
\textbf{end for}\\
\textbf{return } x_0
\end{array}$$
""",
        (("Run algorithm 1 in Train", "train"), ("Run algorithm 2 in Paint", "paint")),
        columns=True,
    ),
    Part(
        "Interpolation",
        r"""
Two pictures are noised to the same $t$, mixed, and decoded (section 4.3, figures 8 and 9):
$$\bar x_{@t} = (1-@l)\,x_{@t} +
@l\,x'_{@t},\qquad
\bar x_0\sim p_\theta(x_0\,|\,\bar x_{@t}).$$
Two independent noises mixed so keep $(1-\lambda)^2+\lambda^2$ of their variance, half of it in
the middle. Slerp, or a division by the root of that, gives it back.
""",
        (("Mix two pictures in Mix", "mix"),),
    ),
)

REFERENCES: Final = """
#### References

- Jonathan Ho, Ajay Jain, Pieter Abbeel: *Denoising Diffusion Probabilistic Models*, 2020,
  [arXiv 2006.11239](https://arxiv.org/abs/2006.11239). The equation numbers here are its.
- Jascha Sohl-Dickstein, Eric Weiss, Niru Maheswaranathan, Surya Ganguli: *Deep Unsupervised
  Learning using Nonequilibrium Thermodynamics*, 2015,
  [arXiv 1503.03585](https://arxiv.org/abs/1503.03585).
- Alex Nichol, Prafulla Dhariwal: *Improved Denoising Diffusion Probabilistic Models*, 2021,
  [arXiv 2102.09672](https://arxiv.org/abs/2102.09672): the cosine schedule, learned variances.
- Jiaming Song, Chenlin Meng, Stefano Ermon: *Denoising Diffusion Implicit Models*, 2020,
  [arXiv 2010.02502](https://arxiv.org/abs/2010.02502): DDIM, eta, slerp between two $x_T$.
- Cheng Lu, Yuhao Zhou, Fan Bao, Jianfei Chen, Chongxuan Li, Jun Zhu: *DPM-Solver++*, 2022,
  [arXiv 2211.01095](https://arxiv.org/abs/2211.01095): the quick samplers.
"""


def theory_tab(tabs: gr.Tabs, noise: gr.Tabs) -> None:
    """Build the tab; its buttons open the others of `tabs`, and the panels of Noise."""
    with gr.Column(elem_classes="lab-theory"):
        for part in PARTS:
            with gr.Column(elem_classes="lab-part"):
                gr.Markdown(
                    coloured(f"### {part.heading}\n{part.text}"),
                    latex_delimiters=LATEX,
                    elem_classes=["lab-text", *(["lab-columns"] if part.columns else [])],
                )
                with gr.Row():
                    for text, tab in part.leads:
                        _lead(gr.Button(text, size="sm", elem_classes="lab-lead"), tab, tabs, noise)
        gr.Markdown(REFERENCES, latex_delimiters=LATEX, elem_classes="lab-text")


def _lead(button: gr.Button, to: str, tabs: gr.Tabs, noise: gr.Tabs) -> None:
    tab, _, panel = to.partition("/")

    def led() -> tuple[gr.Tabs, Any]:
        return gr.Tabs(selected=tab), gr.Tabs(selected=panel) if panel else gr.skip()

    button.click(led, outputs=[tabs, noise], queue=False, **quiet())
