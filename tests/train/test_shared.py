"""Rollouts that share their prompt have the log-probabilities, entropies and gradients of separate sequences."""

import torch
from tiny_run import train_rows

from r2i.mini.checkpoint import build_model, build_processor
from r2i.train.divergence import entropy
from r2i.train.privileged import Shown
from r2i.train.replies import reply_inputs, reply_logits
from r2i.train.shared import members_of, reply_logs

REPLY = 3


def test_a_group_in_one_sequence_gives_what_separate_sequences_give() -> None:
    """Rows of two prompts of unlike length, mixed; one reply ends early."""
    model, processor = build_model(0), build_processor()
    red, blue = (row["image"] for row in train_rows(2))
    asked = [Shown("what color ?", (red,)), Shown("what is the red square made of ?", (blue,))]
    rows = [asked[0], asked[1], asked[0], asked[1], asked[0]]
    replies = [[9, 10, 11], [12, 13, 14], [15, 16, 17], [18, 19, 20], [21, 22, 23]]
    groups = torch.tensor([4, 7, 4, 7, 4])
    assert members_of(groups) == [[0, 2, 4], [1, 3]]
    inputs = reply_inputs(model, processor, rows, replies)
    inputs["attention_mask"][3, -1] = 0  # padding on the right
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    pictures = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    logs, entropies = reply_logs(model, members_of(groups), ids, mask, REPLY, pictures, 1.0)
    alone = reply_logits(model, inputs, [REPLY] * len(rows)).view(len(rows), REPLY, -1)
    wanted = alone.gather(-1, ids[:, -REPLY:, None]).squeeze(-1)
    assert torch.allclose(logs, wanted, atol=1e-4)
    assert torch.allclose(entropies, entropy(alone), atol=1e-4)
    found = [torch.autograd.grad(each.sum(), list(model.parameters()), retain_graph=True) for each in (logs, wanted)]
    assert all(torch.allclose(a, b, atol=1e-3, rtol=1e-3) for a, b in zip(*found, strict=True))
