"""Errors that a page shows with a status of its own; any other R2IError is 500, a TableError 409."""

from r2i.core.errors import R2IError, TableError


class BadRequest(R2IError):
    """What was asked for can't be understood (400)."""


class NotFound(R2IError):
    """There is no such page, row or picture (404)."""


class Conflict(R2IError):
    """What was asked for no longer fits what is here (409)."""


STATUS: dict[type[R2IError], int] = {BadRequest: 400, NotFound: 404, Conflict: 409, TableError: 409}


def status_of(error: R2IError) -> int:
    """The HTTP status of its page."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
