"""The file that OpenRLHF loads (`--train.agent_func_path`): its executor, with r2i's rollouts.

Nothing else imports it, since it needs OpenRLHF installed.
"""

import os
from contextlib import ExitStack
from typing import Any

from openrlhf.utils.agent import SingleTurnAgentExecutor

from r2i.endpoint import connect
from r2i.train.judge import RewardJudge
from r2i.train.openrlhf.executor import RolloutExecutor, Tally
from r2i.train.openrlhf.prompt import Prompt
from r2i.train.openrlhf.workspace import AgentSettings, read_settings


class AgentExecutor(SingleTurnAgentExecutor):
    """Built without arguments in every vLLM engine's process, and used until that ends."""

    def __init__(self) -> None:
        super().__init__()
        settings = read_settings()
        os.environ.setdefault("DVC_ROOT", str(settings.workspace))  # where the store of replies is
        self.contexts = ExitStack()
        tally = Tally(settings.counts)
        self.rollouts = RolloutExecutor(settings, self._judge(settings, tally), tally)

    def _judge(self, settings: AgentSettings, tally: Tally) -> RewardJudge | None:
        """The judge, with this engine's share of the remaining budget."""
        params = settings.dapo.judge
        if params is None:
            return None
        left = max(0, params.max_calls - tally.earlier["judge_calls"])
        model = self.contexts.enter_context(connect(params.endpoint))
        return RewardJudge(model, params, settings.seed, left // settings.engines)

    async def execute(
        self,
        prompt: str,
        label: str,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """One rollout in the form that OpenRLHF's SamplesGenerator reads."""
        base = super().execute

        async def generate(processor: Any, pictures: list[Any], sampling: Any) -> dict[str, Any]:
            return await base(prompt, label, sampling, max_length, processor, llm_engine, pictures)

        request = Prompt(prompt, label, images, sampling_params, max_length, hf_tokenizer)
        return await self.rollouts.execute(request, generate)
