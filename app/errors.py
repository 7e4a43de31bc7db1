"""What the studio tells a person when something can't be done."""


class StudioError(Exception):
    """A fault that a person can act on: what happened, and what to do now.

    Attributes:
        message: What happened, in one sentence.
        hint: What to do about it, in one sentence.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type["StudioError"], tuple[str, str]]:
        return type(self), (self.message, self.hint)  # to be pickled between processes


class ModelError(StudioError):
    """A model that is not there, or whose files don't fit together."""


class NotFiniteError(ModelError):
    """A network, or what is computed from its predictions, that gives NaN or infinity."""


class RecipeError(StudioError):
    """A recipe that can't be read, or asks for what can't be painted."""


class PictureError(StudioError):
    """A person's picture that can't be read or used."""


class UploadError(StudioError):
    """An upload that is refused as a whole."""


class JobError(StudioError):
    """A training job that isn't there, or can't do what is asked of it."""


class HubError(StudioError):
    """A request that the Hugging Face Hub refused, or that couldn't be made."""


class UnreachableError(HubError):
    """A request that never reached the Hub."""


class LimitError(StudioError):
    """A request that is more than an open studio does for one visitor."""
