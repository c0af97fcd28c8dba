"""OpenRLHF's command line from params: pure. docs/training.md has the table of what becomes what."""

from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.params import Cluster, Dapo, Train
from r2i.train.openrlhf.workspace import Files

BETAS = ("0.9", "0.999")  # of the reference and of TRL; OpenRLHF's own are 0.9, 0.95
MAX_NORM = "1.0"  # gradients are clipped to it, as in TRL and EasyR1

ONLY_SOMETIMES = (
    "--algo.dynamic_filtering_enable --algo.dynamic_filtering_range --reward.overlong_buffer_len "
    "--reward.overlong_penalty_factor --reward.stop_properly_penalty_coef --actor.dual_clip "
    "--actor.freeze_visual_encoder --actor.gradient_checkpointing_enable --algo.kl.use_loss --algo.kl.estimator "
    "--ref.num_nodes --ref.num_gpus_per_node --train.colocate_all --train.colocate_actor_ref --vllm.enable_sleep "
    "--eval.dataset "
    "--ds.enable_sleep --vllm.enforce_eager --ds.adam_offload --ds.grad_accum_dtype"
).split()
"""Flags that params set in some runs; in the others their absence is what params say."""

REFUSED = {
    "--ds.packing_samples": "OpenRLHF can't pack samples with images",
    "--train.dynamic_batch_enable": "it packs samples, and OpenRLHF can't with images",
    "--ds.ring_attn_size": "it packs samples, and OpenRLHF can't with images",
    "--ds.use_liger_kernel": "OpenRLHF has it for text models alone",
    "--ds.tensor_parallel_size": "r2i counts every training GPU as one data-parallel rank",
    "--ds.load_in_4bit": "the result would be an adapter, not a model's folder",
    "--ds.lora.rank": "the result would be an adapter, not a model's folder",
    "--train.async_enable": "rollouts would come from an older policy than the one that is trained",
    "--train.partial_rollout_enable": "rollouts would come from several policies",
    "--train.enable_ema": "the result would be the average of all steps, not the last one",
    "--ckpt.disable_ds": "a killed run could not go on",
    "--ckpt.save_hf": "its folders are never removed; the result is written at the end anyway",
    "--algo.advantage.no_std_norm": "advantages are divided by the group's standard deviation, in both engines",
    "--reward.remote_url": "rewards come from r2i/train/reward.py",
    "--critic.freezing_steps": "the first steps would not train",
    "--eval.steps": "held-out rows are asked before each checkpoint (train.validation)",
    "--eval.split": "held-out rows are those of train.validation",
    "--eval.temperature": "held-out rows are answered greedily",
    "--eval.n_samples_per_prompt": "held-out rows are answered once, greedily",
}
"""Flags that break the run or change what is learned, with the reason."""


def openrlhf_flags(train: Train, seed: int, files: Files, attention: str) -> list[str]:
    """The arguments of `python -m openrlhf.cli.train_ppo_ray` (OpenRLHF 0.11.2).

    `attention`: of r2i.train.openrlhf.attention.choose_attention. Raises R2IError where `cluster.flags` holds an
    argument that params set or that breaks the run, and where a path holds what OpenRLHF reads as its own syntax.
    """
    flags = [
        *_of_cluster(train.cluster, train.dapo, attention),
        *_of_data(train, files),
        *_of_batches(train, seed),
        *_of_loss(train.dapo),
        *_of_rewards(train.dapo),
        *_of_saving(train, files),
    ]
    _refuse_foreign(train.cluster.flags, [flag for flag in flags if flag.startswith("--")])
    return [*flags, *train.cluster.flags]


def engines(cluster: Cluster) -> int:
    """vLLM engines: what params say, else as many as the GPUs that train allow."""
    return cluster.engines or max(1, cluster.nodes * cluster.gpus_per_node // cluster.tensor_parallel)


def notes(train: Train) -> list[str]:
    """What OpenRLHF has no argument for and is done in another way, or less well, in words for the metrics."""
    dapo = train.dapo
    found = ["an epoch is a pass over rows that the view repeats, each time in another order (--train.num_episodes 1)"]
    if dapo.max_steps > 0:
        most = "at most " if dapo.dynamic_sampling else ""
        found.append(f"max_steps: the view is cut to the prompts of {most}{dapo.max_steps} optimizer steps")
    if dapo.min_pixels or dapo.max_pixels:
        found.append("min_pixels, max_pixels: in the processor of the student's folder")
    if dapo.judge:
        found.append("judge: asked by the agent executor")
    if dapo.dynamic_sampling:
        found.append("dynamic_sampling: a dropped group is replaced by the next prompt, so an epoch has fewer steps")
    if train.validation:
        found.append("validation: asked by r2i's trainer before each checkpoint and at the end, of OpenRLHF's engines")
    if train.cluster.zero_stage < 3:
        found.append("gradients of one optimizer step are added up in bf16 (zero_stage 3: in fp32)")
    return found


def _of_cluster(cluster: Cluster, dapo: Dapo, attention: str) -> list[str]:
    sleep = cluster.colocate and cluster.sleep
    return [
        *("--actor.num_nodes", str(cluster.nodes), "--actor.num_gpus_per_node", str(cluster.gpus_per_node)),
        *("--vllm.num_engines", str(engines(cluster))),
        *("--vllm.tensor_parallel_size", str(cluster.tensor_parallel)),
        *("--vllm.gpu_memory_utilization", str(cluster.memory_share), "--vllm.sync_backend", "nccl"),
        "--vllm.enable_prefix_caching",  # a group shares its prompt, image and all
        *_if(cluster.enforce_eager, "--vllm.enforce_eager"),
        *_if(cluster.colocate, "--train.colocate_all"),
        *_if(sleep, "--vllm.enable_sleep", "--ds.enable_sleep"),
        *_of_reference(cluster, dapo),
        *("--ds.zero_stage", str(cluster.zero_stage), "--ds.param_dtype", "bf16"),
        *("--ds.attn_implementation", attention),
        # gradients of many micro-batches are added up, and in bf16 small ones are lost; below ZeRO 3 DeepSpeed 0.19.6
        # does not listen (docs/training.md)
        *_if(cluster.zero_stage == 3, "--ds.grad_accum_dtype", "fp32"),
        *_if(cluster.adam_offload, "--ds.adam_offload"),
        *_if(cluster.gradient_checkpointing, "--actor.gradient_checkpointing_enable"),
    ]


def _of_reference(cluster: Cluster, dapo: Dapo) -> list[str]:
    """The frozen base, which only the KL term needs, on the GPUs of the actor."""
    places = ("--ref.num_nodes", str(cluster.nodes), "--ref.num_gpus_per_node", str(cluster.gpus_per_node))
    return _if(dapo.kl > 0, *places, *_if(not cluster.colocate, "--train.colocate_actor_ref"))


def _of_data(train: Train, files: Files) -> list[str]:
    dapo = train.dapo
    for path in (files.prompts, files.student):
        if "," in str(path) or "@" in str(path):
            raise R2IError(
                f"the workspace {files.root} has a comma or an @ in its path, which OpenRLHF reads as syntax",
                "move the repository to a path without them",
            )
    return [
        *("--actor.model_name_or_path", str(files.student), "--data.prompt_dataset", str(files.prompts)),
        *("--data.input_key", "prompt", "--data.label_key", "label", "--data.image_key", "images"),
        *("--data.max_images_per_prompt", "1", "--data.apply_chat_template"),
        *_if(train.validation > 0, "--eval.dataset", str(files.held)),
        *("--data.max_len", str(dapo.max_prompt + dapo.max_response)),
        *("--train.agent_func_path", str(Path(__file__).resolve().parent / "agent.py")),
    ]


def _of_batches(train: Train, seed: int) -> list[str]:
    dapo, cluster = train.dapo, train.cluster
    return [
        *("--rollout.batch_size", str(dapo.rollout_prompts)),  # prompts
        *("--rollout.n_samples_per_prompt", str(dapo.group_size)),
        *("--rollout.micro_batch_size", str(cluster.micro_rollout)),  # samples
        *("--rollout.max_new_tokens", str(dapo.max_response)),
        *("--rollout.temperature", str(dapo.temperature), "--rollout.top_p", "1.0"),
        *("--train.batch_size", str(dapo.train_prompts * dapo.group_size)),  # samples
        *("--train.micro_batch_size", str(cluster.micro_train)),
        *("--train.max_epochs", "1", "--train.num_episodes", "1", "--train.seed", str(seed)),
    ]


def _of_loss(dapo: Dapo) -> list[str]:
    return [
        *("--actor.optim", "adam", "--actor.adam.lr", str(dapo.lr), "--actor.adam.betas", *BETAS),
        *("--actor.adam.weight_decay", str(dapo.weight_decay), "--actor.max_norm", MAX_NORM),
        *("--actor.lr_scheduler", "constant", "--actor.lr_warmup_ratio", "0"),
        *("--actor.policy_loss_type", "ppo", "--actor.loss_agg_mode", "token-mean"),
        *("--actor.eps_clip_low_high", str(dapo.clip_low), str(dapo.clip_high)),
        *_if(dapo.dual_clip is not None, "--actor.dual_clip", str(dapo.dual_clip)),
        *("--actor.entropy_coef", "0"),  # logged, no part of the loss
        *_if(dapo.freeze_vision, "--actor.freeze_visual_encoder"),
        *("--algo.advantage.estimator", "group_norm"),
        *("--algo.kl.init_coef", str(dapo.kl)),
        *_if(dapo.kl > 0, "--algo.kl.use_loss", "--algo.kl.estimator", "k3"),  # TRL's form of the term
    ]


def _of_rewards(dapo: Dapo) -> list[str]:
    low, high = dapo.dynamic_range
    bound = str(float(dapo.group_size))  # a normalised reward is below it; OpenRLHF's own bound of 10 is not
    return [
        *("--reward.clip_range", f"-{bound}", bound),
        *_if(dapo.dynamic_sampling, "--algo.dynamic_filtering_enable"),
        *_if(dapo.dynamic_sampling, "--algo.dynamic_filtering_range", str(low), str(high)),
        *_if(dapo.overlong_buffer > 0, "--reward.overlong_buffer_len", str(dapo.overlong_buffer)),
        *_if(dapo.overlong_buffer > 0, "--reward.overlong_penalty_factor", str(dapo.overlong_factor)),
    ]


def _of_saving(train: Train, files: Files) -> list[str]:
    return [
        *("--ckpt.path", str(files.checkpoints), "--ckpt.load_enable"),
        *("--ckpt.save_steps", str(train.save_every), "--ckpt.max_num", str(train.keep)),
        *("--ckpt.best_metric_key", "none", "--ckpt.output_dir", str(files.result)),
        *("--logger.tensorboard_dir", str(files.tensorboard), "--logger.wandb.run_name", "r2i"),
        *("--logger.logging_steps", "1"),
    ]


def _refuse_foreign(foreign: list[str], ours: list[str]) -> None:
    """Refuse arguments that are ours, also shortened, as argparse allows."""
    for name in (flag.split("=", 1)[0] for flag in foreign if flag.startswith("--")):
        taken = next((flag for flag in (*ours, *ONLY_SOMETIMES) if flag.startswith(name)), None)
        if taken:
            raise R2IError(f"train.cluster.flags: {name} is set by params ({taken})", "remove it, and change params")
        refused = next((flag for flag in REFUSED if flag.startswith(name)), None)
        if refused:
            raise R2IError(f"train.cluster.flags: {name} can't be used: {REFUSED[refused]}", "remove it")


def _if(condition: bool, *flags: str) -> list[str]:
    return list(flags) if condition else []
