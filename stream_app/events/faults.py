"""What the types themselves raise; knows nothing of records."""


class FieldFault(ValueError):
    """A rule between fields is broken. msgspec wraps it and keeps it as `__cause__`; the message quotes no value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
