"""The tasks r2i_full and r2i_crop for lmms-eval. This file stands alone: it does not import r2i.

It grades by rule only: the option's letter, its text, or the answer itself, plain. r2i reads more styles of reply
(numbers with units, mathematics, a judge last), so that its accuracy can be a little higher on free prose.
"""

import re
from typing import Any

LETTERS = "ABCDEFGHIJ"
Doc = dict[str, Any]


def doc_to_visual(doc: Doc) -> list[Any]:
    return [doc["image"].convert("RGB")]


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Doc | None = None) -> str:
    """The prompt as r2i sends it."""
    return doc["prompt"]


def doc_to_target(doc: Doc) -> str:
    return doc["label"] or doc["answer"]


def process_results(doc: Doc, results: list[str]) -> Doc:
    """`score` stands there bare as well: `--baseline` pairs samples by it."""
    score = float(is_right(results[0], doc["options"], doc["label"], doc["answer"]))
    return {"acc": {"score": score, "cluster_id": doc["cluster_id"], "item_id": doc["item_id"]}, "score": score}


def mean_score(results: list[Doc]) -> float:
    return sum(result["score"] for result in results) / len(results)


def is_right(reply: str, options: list[str], label: str, answer: str) -> bool:
    said = find_answer(reply)
    if options:
        return read_letter(said, options) == label
    return plain(said) == plain(answer)


def find_answer(reply: str) -> str:
    """The last closed <answer> span, else the last \\boxed{}, else the last line that says something."""
    spans = re.findall(r"<answer>(.*?)</answer>", reply, re.DOTALL)
    boxed = re.findall(r"\\boxed\{([^{}]*)\}", reply)
    lines = [line for line in reply.splitlines() if line.strip()]
    return (spans or boxed or lines or [""])[-1].strip()


def read_letter(said: str, options: list[str]) -> str | None:
    """`B`, `(B)`, `B. red`, `the answer is B`, or the text of one option; None for anything else."""
    letters = LETTERS[: len(options)]
    bare = said.strip(" *_`\n")
    alone = re.fullmatch(rf"\(?([{letters}])\)?[.):]?", bare)
    leading = re.match(rf"\(([{letters}])\)\s|([{letters}])[.):]\s", bare)
    stated = re.findall(rf"(?:[Aa]nswer|[Oo]ption|[Cc]hoice)\s*(?:is|:)?\s*\(?\**([{letters}])\b", bare)
    if alone:
        return alone[1]
    if leading:
        return leading[1] or leading[2]
    if stated:
        return stated[-1]
    same = [letter for letter, text in zip(letters, options, strict=False) if plain(text) == plain(bare)]
    return same[0] if len(same) == 1 else None


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w%.+-]+", " ", text.casefold()).split()).strip(". ")
