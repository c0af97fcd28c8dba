"""A SAM 2 model (package `sam2`) from the hub or from a local checkpoint: both are built the same way."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from r2i.core.errors import R2IError
from r2i.core.images import file_sha256
from r2i.core.params import Crop

# what the package's own `build_sam2` adds to each config: a mask that is not stable gives way to the best of three
DECODER = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
STRIDES = (4, 8, 16)  # of the feature maps, pixels of the model's input


def load_segmenter(params: Crop) -> Any:
    """The model in evaluation mode, float32, on the CPU until `at_work`. Raises R2IError."""
    try:
        import pycocotools.mask  # noqa: F401
        import sam2.build_sam  # noqa: F401
    except ImportError as error:
        raise R2IError(
            f"crop.method is {params.method}, but a package can't be imported ({error})",
            "run `make setup`, or `SAM2_BUILD_CUDA=0 pip install --no-build-isolation sam2==1.1.0 pycocotools`",
        ) from error
    import torch

    config, checkpoint = find_files(params)
    check_hash(checkpoint, params.sam2_sha256)
    model = _build(config)
    try:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
        model.load_state_dict(weights)
    except Exception as error:  # pickle, zip, torch: each raises its own kind
        raise R2IError(
            f"{checkpoint} holds no weights of the SAM 2 model that {config.name} describes ({_short(error)})",
            "check crop.sam2_model and crop.sam2_config",
        ) from error
    return model.eval()


def find_files(params: Crop) -> tuple[Path, Path]:
    """The config and the checkpoint that `params` names; a hub id is downloaded. Raises R2IError."""
    import sam2
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    package = Path(sam2.__path__[0])
    if params.sam2_model in HF_MODEL_ID_TO_FILENAMES and not Path(params.sam2_model).is_file():
        config, name = HF_MODEL_ID_TO_FILENAMES[params.sam2_model]
        return package / config, _download(params.sam2_model, name)
    checkpoint = Path(params.sam2_model)
    if not checkpoint.is_file():
        known = ", ".join(HF_MODEL_ID_TO_FILENAMES)
        raise R2IError(
            f"crop.sam2_model {params.sam2_model!r} is no file and no model that sam2 knows",
            f"give the path of a checkpoint, or one of: {known}",
        )
    for path in (Path(params.sam2_config), package / params.sam2_config):
        if path.is_file():
            return path, checkpoint
    raise R2IError(
        f"crop.sam2_config {params.sam2_config!r} is no file and no config of the package sam2",
        "e.g. configs/sam2.1/sam2.1_hiera_l.yaml",
    )


def _download(model: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo_id=model, filename=name))
    except Exception as error:  # network, hub, disk: each raises its own kind
        raise R2IError(
            f"can't load {name} of {model!r} ({_short(error)})",
            "check the network and HF_HUB_OFFLINE (`make` sets it to 1), or give crop.sam2_model a local file",
        ) from error


def check_hash(path: Path, expected: str | None) -> None:
    """Raises R2IError where the file's sha256 is another; a checkpoint is not opened before."""
    if expected is None:
        return
    found = file_sha256(path)
    if found != expected.lower():
        raise R2IError(
            f"{path} hashes to {found}, crop.sam2_sha256 is {expected}",
            "fetch the checkpoint again; set crop.sam2_sha256 anew only if you trust the file",
        )


def _build(config: Path) -> Any:
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from sam2.modeling.sam2_base import SAM2Base

    try:
        settings: Any = OmegaConf.load(config)
        for name, value in DECODER.items():
            OmegaConf.update(settings, f"model.sam_mask_decoder_extra_args.{name}", value, force_add=True)
        OmegaConf.resolve(settings)
        model = instantiate(settings["model"], _recursive_=True)
        if not isinstance(model, SAM2Base):
            raise TypeError(f"its model is a {type(model).__name__}")
        return model
    except Exception as error:  # YAML, Hydra and the model's own checks
        raise R2IError(f"{config} describes no SAM 2 model ({_short(error)})", "check crop.sam2_config") from error


def fit_predictor(predictor: Any) -> Any:
    """`predictor` (sam2's SAM2ImagePredictor) for any input size: it assumes 1024 px."""
    predictor._bb_feat_sizes = [(predictor.model.image_size // stride,) * 2 for stride in STRIDES]
    return predictor


@contextmanager
def at_work(model: Any) -> Iterator[None]:
    """The model on the GPU if there is one, in bfloat16 there: it pays and is exact enough; on the CPU float32.

    One thread on the CPU: sums depend on their number in the last bits, and every executor gives the same bytes.
    Several workers use the cores, an image on each.
    """
    import torch

    gpu = torch.cuda.is_available()
    if gpu and model.device.type != "cuda":
        model.to("cuda")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.autocast("cuda", torch.bfloat16) if gpu else nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)


def _short(error: Exception) -> str:
    """The first line, since PyTorch and Hydra write pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
