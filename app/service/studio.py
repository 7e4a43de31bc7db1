"""The composition root: one studio from one set of settings."""

from app.service.hub.service import Hub
from app.service.laboratory.bound import BoundLab
from app.service.laboratory.mix import MixLab
from app.service.laboratory.noise import NoiseLab
from app.service.lending import warm_up
from app.service.limits import Limits
from app.service.novelty import Novelty
from app.service.own_models import OwnModels
from app.service.painting import Painter
from app.service.status import Watch
from app.service.workshop import Workshop
from app.settings import Settings


class Studio:
    """What a page, a shell and an API call.

    Attributes:
        settings: How this studio runs.
        limits: What one request, and one visitor, may ask for.
        models: The models there are; the asker's own among them.
        painter: Paints with them.
        noise_lab: Takes the forward process apart.
        mix_lab: Mixes two pictures.
        bound_lab: Computes the bound.
        novelty: Finds the training painting nearest to what was painted.
        hub: Brings models from the Hub, and publishes there.
        watch: Tells how the studio is doing.
        workshop: Trains models.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = Limits.of(settings)
        self.models = OwnModels(settings)
        self.painter = Painter(self.models, self.limits)
        self.noise_lab = NoiseLab(self.painter)
        self.mix_lab = MixLab(self.painter)
        self.bound_lab = BoundLab(self.painter)
        self.novelty = Novelty(self.models)
        self.hub = Hub(settings, self.painter)
        self.watch = Watch(self.models, settings.default_model)
        self.workshop = Workshop(settings, self.models)

    def warm_up(self) -> None:
        """Load the default model in each precision, so that the first painting needn't wait."""
        warm_up(self.models, self.settings.default_model)
