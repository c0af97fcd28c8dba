"""How far a student's next token is from its teacher's: distributions over the vocabulary, token by token."""

import torch

from r2i.core.params import Opd


def divergence(student: torch.Tensor, teacher: torch.Tensor, params: Opd) -> torch.Tensor:
    """Nats of each token: (T,). `student`, `teacher`: log-probabilities (T, V) of the same tokens.

    jsd: w KL(teacher | m) + (1 - w) KL(student | m), where m = w teacher + (1 - w) student (arXiv 2306.13649).
    """
    if params.top_k is not None and params.top_k < teacher.shape[-1]:
        student, teacher = few_tokens(student, teacher, params.top_k)
    if params.divergence == "forward_kl":
        return kl(teacher, student)
    if params.divergence == "reverse_kl":
        return kl(student, teacher)
    weight = 0.5 if params.jsd_weight is None else params.jsd_weight
    scales = torch.tensor([weight, 1 - weight], dtype=student.dtype, device=student.device).log()
    mixed = torch.logsumexp(torch.stack([teacher + scales[0], student + scales[1]]), dim=0)
    return weight * kl(teacher, mixed) + (1 - weight) * kl(student, mixed)


def few_tokens(student: torch.Tensor, teacher: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (T, k + 1): the teacher's k most likely tokens, and all others as one."""
    places = teacher.topk(k, dim=-1).indices
    rest = torch.ones_like(teacher, dtype=torch.bool).scatter(-1, places, False)
    return _gather(student, places, rest), _gather(teacher, places, rest)


def _gather(logs: torch.Tensor, places: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    others = logs.masked_fill(~rest, float("-inf")).logsumexp(dim=-1, keepdim=True)
    return torch.cat([logs.gather(-1, places), others], dim=-1)


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p | q) of log-probabilities (T, V): (T,)."""
    return (p.exp() * (p - q)).sum(dim=-1)


def entropy(p: torch.Tensor) -> torch.Tensor:
    """Nats of each token: (T,)."""
    return -(p.exp() * p).sum(dim=-1)
