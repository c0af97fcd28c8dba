"""Errors that say what went wrong and what to do."""


class R2IError(Exception):
    """A failure with its cause and its remedy; a stage prints both and exits with 1."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(f"{cause}; {remedy}" if remedy else cause)
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["R2IError"], tuple[str, str]]:
        """Workers hand errors to their parent."""
        return type(self), (self.cause, self.remedy)


class ParamsError(R2IError):
    """params.yaml can't be used as it is."""


class TableError(R2IError):
    """A table is missing, empty, or not of its schema."""


class ImageError(R2IError):
    """A picture can't be read. `cause` is a short reason that goes into a row."""


class EndpointError(R2IError):
    """A model can't be called at all (wrong key, unknown model, dead server): the stage ends."""
