"""Vote on the teachers' answers; keep what they agree on."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import ANSWERS, QUESTIONS, VOTES
from r2i.core.stage import run_stage
from r2i.core.tables import ok_rows, read_table, write_table

COUNTED = ["answer_id", "question_id", "teacher", "answer", "status", "reason"]  # not the replies' long texts
PARAMS = ("seed", "vote")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Group equivalent answers of all teachers; keep a question when enough samples agree."""
    from r2i.endpoint import connect
    from r2i.endpoint.ledger import Ledger
    from r2i.vote.collect import count_votes, judge_votes, make_votes, summarise

    loaded = load_params(file)
    params, seed, ledger = loaded.chosen.vote, loaded.seed, Ledger()
    questions = ok_rows(read_table(paths.QUESTIONS, QUESTIONS, "question"), paths.QUESTIONS, "question")
    answers = read_table(paths.ANSWERS, ANSWERS, "answer", COUNTED)
    counts = count_votes(questions, answers, params)
    with connect(params.endpoint) if params.judge == "llm" and params.endpoint else nullcontext() as judge:
        judged = judge_votes(questions, counts, judge, params, seed, ledger)
    votes = make_votes(questions, counts, judged, params)
    write_table(paths.VOTES, votes, VOTES, params.shards)
    write_metrics(paths.metrics("vote"), {**summarise(votes, answers, judged), "calls": ledger.metrics()})


if __name__ == "__main__":
    run_stage(main)
