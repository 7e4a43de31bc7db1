"""The composition root: one studio from one set of settings."""

from app.service.laboratory.bound import BoundLab
from app.service.laboratory.mix import MixLab
from app.service.laboratory.noise import NoiseLab
from app.service.models import ModelStore
from app.service.novelty import Novelty
from app.service.painting import Painter
from app.service.recipe import PRECISIONS
from app.settings import Settings


class Studio:
    """What a page, a shell and an API call.

    Attributes:
        settings: How this studio runs.
        models: The models there are.
        painter: Paints with them.
        noise_lab: Takes the forward process apart.
        mix_lab: Mixes two pictures.
        bound_lab: Computes the bound.
        novelty: Finds the training painting nearest to what was painted.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = ModelStore(settings.model_roots, settings.device, settings.threads)
        self.painter = Painter(self.models)
        self.noise_lab = NoiseLab(self.painter)
        self.mix_lab = MixLab(self.painter)
        self.bound_lab = BoundLab(self.painter)
        self.novelty = Novelty(self.models)

    def warm_up(self) -> None:
        """Load the default model in each precision, so that the first painting needn't wait."""
        model = self.models.load(self.settings.default_model)
        for precision in PRECISIONS:
            model.denoiser(precision)
