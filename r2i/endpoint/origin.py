"""Whether replies are what was asked for: by the model that was named, and each drawn for itself."""

import sys
from collections import OrderedDict
from collections.abc import Sequence

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.core.records import OK
from r2i.endpoint.base import Reply, Request
from r2i.endpoint.chat import Completion

REMEMBERED = 2**16  # responses that a later one is compared with
LONG_TEXT = 200  # characters of samples that are never alike by chance
MANY, MOST = 10, 0.9  # requests, and the share of them, whose short samples are all alike


class Origin:
    """The model that a server says it is, and the responses that came before."""

    def __init__(self, params: Endpoint, name: str) -> None:
        """`name`: under which the model is asked for."""
        self.params, self.name = params, name
        self.served = ""  # as the server names it; empty: it has not said
        self.responses: OrderedDict[int, None] = OrderedDict()  # hashes
        self.repeated = 0
        self.drawn = self.identical = self.long = 0  # requests of several samples drawn at random

    def check_model(self, served: str) -> None:
        """Warn, once, where the server names another model than was asked for.

        Raises EndpointError where it names another one than before: the replies are of two models then.
        """
        if not served or served == self.served:
            return
        where = self.params.base_url or "the server"
        if self.served:
            raise EndpointError(
                f"{where} answered as {self.served}, and now as {served}",
                "see what it serves, then run again: replies of the first are kept, this one is not",
            )
        self.served = served
        if not is_same_model(self.name, served):
            print(
                f"warning: {where} answers as {served} where {self.name} was asked for; rows name {self.name}",
                file=sys.stderr,
            )

    def note_response(self, completion: Completion) -> None:
        """Count a response that came before, with its name and all its texts: a cache answers for the model."""
        if not completion.id:
            return
        response = hash((completion.id, *(choice.text for choice in completion.choices)))
        if response in self.responses:
            self.repeated += 1
        self.responses[response] = None
        if len(self.responses) > REMEMBERED:
            self.responses.popitem(last=False)

    def note_samples(self, request: Request, replies: Sequence[Reply]) -> None:
        """Count a request whose samples are all one text."""
        self.drawn += request.sampling.temperature > 0 and len(replies) > 1
        if are_identical(request, replies):
            self.identical += 1
            self.long += len(replies[0].text) >= LONG_TEXT

    def report(self) -> None:
        """Say what was alike beyond chance since the last report."""
        if self.long or self.identical >= max(MANY, MOST * self.drawn):
            print(
                f"warning: {self.identical} of {self.drawn} requests to {self.name} got identical samples, "
                f"{self.long} of them long ones: see whether the server heeds temperature, seed and n",
                file=sys.stderr,
            )
        self.drawn = self.identical = self.long = 0
        if self.repeated:
            print(
                f"warning: {self.repeated} responses of {self.name} had come before, word for word and with the same "
                "id: something between r2i and the model keeps replies, and identical samples are no votes",
                file=sys.stderr,
            )
        self.repeated = 0


def is_same_model(asked: str, served: str) -> bool:
    """Whether two names may be of one model: a path or an owner before it and a date after it say nothing."""
    one, other = (name.lower().rstrip("/").rpartition("/")[2] for name in (asked, served))
    short, long = sorted((one, other), key=len)
    return bool(short) and long.startswith(short) and not long[len(short) : len(short) + 1].isalnum()


def are_identical(request: Request, replies: Sequence[Reply]) -> bool:
    """Whether all samples of a request are one text, though they were drawn at random.

    Short answers that a model is sure of are; of long ones that is beyond chance.
    """
    if request.sampling.temperature == 0 or len(replies) < 2:
        return False
    return all(reply.status == OK and reply.text == replies[0].text for reply in replies)
