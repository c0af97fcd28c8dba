"""The stand-in for flash-attn does what OpenRLHF asks of it, and nobody takes it for flash-attn."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openrlhf")

import torch

from r2i.train.openrlhf.attention import flash_attn_installed, shim_path

pytestmark = pytest.mark.skipif(flash_attn_installed(), reason="flash-attn is installed: the shim is not used")

TWO_PROCESSES = """
import os, sys, torch, torch.distributed as dist
from flash_attn.utils.distributed import all_gather
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
values = torch.tensor([[1.0 + rank], [10.0 + rank]], requires_grad=True)
gathered = all_gather(values, dist.group.WORLD)
assert gathered.flatten().tolist() == [1.0, 10.0, 2.0, 11.0], gathered
(gathered.flatten() * torch.tensor([1.0, 2.0, 3.0, 4.0]) * (rank + 1)).sum().backward()
# process 0 weighs by 1, process 1 by 2: 3 times the weights of the own part
assert values.grad.flatten().tolist() == [[3.0, 6.0], [9.0, 12.0]][rank], values.grad
dist.barrier()
os._exit(0)  # without the interpreter's end, in which gloo's threads may abort a process that is done
"""


def test_openrlhf_packs_and_unpacks_with_it() -> None:
    """[1 2 3 -] and [4 5 - -] become 1 2 3 4 5, and come back at their places."""
    from openrlhf.models.ring_attn_utils import gather_and_pad_tensor, unpad_and_slice_tensor

    tokens = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    rows, positions, rolled, padding, indices = unpad_and_slice_tensor(tokens, mask, None)
    assert rows.tolist() == [[1, 2, 3, 4, 5]]
    assert positions.tolist() == [[0, 1, 2, 0, 1]]
    assert rolled.tolist() == [[2, 3, 0, 5, 0]]
    assert gather_and_pad_tensor(rows, None, padding, indices, 2, 4).tolist() == tokens.tolist()


def test_unpadding_says_where_sequences_start_and_how_long_they_are() -> None:
    from flash_attn.bert_padding import unpad_input

    hidden = torch.arange(16.0).reshape(2, 4, 2)
    mask, unused = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]])
    rows, indices, starts, longest, used = unpad_input(hidden, mask, unused)
    assert indices.tolist() == [1, 2, 3, 4] and rows.tolist() == hidden.reshape(8, 2)[1:5].tolist()
    assert (starts.tolist(), longest, used.tolist()) == ([0, 3, 4], 3, [2, 1])
    assert starts.dtype == torch.int32


def test_gradients_pass_through() -> None:
    from flash_attn.bert_padding import pad_input, unpad_input

    hidden = torch.ones(1, 3, 2, requires_grad=True)
    rows, indices, *_ = unpad_input(hidden, torch.tensor([[1, 0, 1]]))
    (pad_input(rows, indices, 1, 3) * 5).sum().backward()
    assert hidden.grad is not None and hidden.grad.tolist() == [[[5, 5], [0, 0], [5, 5]]]


def test_gathering_over_two_processes_has_the_sum_of_gradients(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_PROCESSES]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]


def test_transformers_sees_no_flash_attn() -> None:
    from transformers.utils import is_flash_attn_2_available, is_flash_attn_greater_or_equal
    from transformers.utils.import_utils import is_flash_attn_3_available, is_flash_attn_4_available

    assert not is_flash_attn_2_available() and not is_flash_attn_3_available() and not is_flash_attn_4_available()
    assert not is_flash_attn_greater_or_equal("2.1.0")


def test_asking_transformers_for_it_is_refused_also_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_torch_cuda_available", lambda: True)
    import_utils.is_flash_attn_2_available.cache_clear()
    try:
        assert not import_utils.is_flash_attn_2_available()
    finally:
        import_utils.is_flash_attn_2_available.cache_clear()


def test_vllm_and_deepspeed_fall_back() -> None:
    """What each of them imports where it looks for flash-attn (vLLM's rotary embedding, DeepSpeed's FPDT)."""
    for name in ("flash_attn.ops", "flash_attn.flash_attn_interface", "flash_attn.layers", "flash_attn.cute"):
        with pytest.raises(ModuleNotFoundError):
            __import__(f"{name}.triton.rotary" if name.endswith("ops") else name)
    from deepspeed.sequence import fpdt_layer

    assert fpdt_layer._flash_attn_forward is None


def test_openrlhf_takes_its_own_cross_entropy() -> None:
    from openrlhf.models.utils import log_probs_from_logits

    logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    found = log_probs_from_logits(logits.clone(), torch.tensor([[0, 2]]))
    assert torch.allclose(found, logits.log_softmax(-1)[0, [0, 1], [0, 2]][None])


def test_the_shim_lies_alone_in_its_folder() -> None:
    assert [path.name for path in shim_path().iterdir() if path.name != "__pycache__"] == ["flash_attn"]
