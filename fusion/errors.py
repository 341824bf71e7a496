"""What can go wrong in the model."""


class NotFiniteError(ValueError):
    """A head gave NaN or infinity for some event of the batch; the message names the head."""


class CheckpointError(ValueError):
    """A file is not a model that this version can load; the message is one line."""
