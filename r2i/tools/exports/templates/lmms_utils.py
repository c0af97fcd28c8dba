"""The tasks r2i_full and r2i_crop for lmms-eval. This file stands alone: it does not import r2i.

It grades by rule only: the option's letter, its text, or the answer itself, plain. r2i reads more styles of reply
(numbers with units, mathematics, a judge last), so that its accuracy can be a little higher on free prose.
"""

import re
from itertools import pairwise
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
    return bool(plain(said)) and plain(said) == plain(answer)


def find_answer(reply: str) -> str:
    """The last closed <answer> span, else the last \\boxed{}, else the last line that is not empty; no reasoning."""
    reply = read_final(reply)
    spans = re.findall(r"<answer>(.*?)</answer>", reply, re.DOTALL)
    boxed = re.findall(r"\\boxed\{([^{}]*)\}", reply)
    lines = [line for line in reply.splitlines() if line.strip()]
    return drop_tokens((spans or boxed or lines or [""])[-1]).strip()


def read_letter(said: str, options: list[str]) -> str | None:
    """`B`, `(B)`, `B. red`, `the answer is B`, or the text of one option; None for anything else, two options too."""
    letters = LETTERS[: len(options)]
    bare = said.strip(" *_`\n")
    same = [letter for letter, text in zip(letters, options, strict=False) if plain(text) == plain(bare) != ""]
    alone = re.fullmatch(rf"\(?([{letters}])\)?[.):]?", bare)
    if alone:
        return alone[1]
    if len(same) == 1:
        return same[0]
    leading = re.match(rf"\(([{letters}])\)\s|([{letters}])[.):]\s", bare)
    stated = re.findall(rf"(?:[Aa]nswer|[Oo]ption|[Cc]hoice)\s*(?:is|:)?\s*\(?\**([{letters}])\b", bare)
    if leading:
        letter, rest = leading[1] or leading[2], bare[leading.end() :]
        others = [text for name, text in zip(letters, options, strict=False) if name != letter]
        return None if any(plain(rest) == plain(text) for text in others) else letter
    return stated[-1] if stated else None


def plain(text: str) -> str:
    """In small letters, without what stands around it; a text of nothing else stays."""
    text = " ".join(text.casefold().split())
    if not re.search(r"(?<!\w)[\"'](?=\w)", text):  # no quotation: 5" are inches, 5' feet
        text = re.sub(r"(?<=\d)'(?!\w)", "′", re.sub(r"(?<=\d)(?:\"|'')(?!\w)", "″", text))
    return text.strip(" .,;:!?\"'`*_()[]“”‘’。，！？") or (text if text.strip(" .") else "")


# What follows is r2i/core/reasoning.py, word for word: a test compares them.

# Names that models and chat templates give to reasoning: <think>, <thinking>, <|begin_of_thought|>, <seed:think>,
# <|START_THINKING|>, ◁think▷, [THINK], <reasoning>, <details type="reasoning">, <|channel|>analysis<|message|> ...
_NAME = (
    r"(?:think(?:ing|s)?|thoughts?|reason(?:ing)?|reflect(?:ion|ing)?|rationale|analysis|deliberat(?:e|ion|ing)"
    r"|scratch_?pad|brainstorm(?:ing)?|monologue|cot|chain[-_ ]of[-_ ]thought)"
)
_BEFORE = r"(?:\w{1,20}[:_-])??"  # <seed:think>, <longcat_think>
_ENDS = r"(?:[/\\]\s*|end[-_ ]?(?:of[-_ ]?)?)"
_BEGINS = r"(?:(?:begin|start)[-_ ]?(?:of[-_ ]?)?)"
_ATTRIBUTES = r"(?:\s[^<>]{0,80})?"
_MARK = re.compile(
    rf"""
      (?:<\|?|&lt;|◁)(?P<end>{_ENDS})?{_BEGINS}?{_BEFORE}{_NAME}(?P<tail>[-_]\w{{1,20}})?
        {_ATTRIBUTES}\s*(?P<empty>/)?\s*(?:\|?>|&gt;|▷)
    | \[\s*(?P<end2>/)?\s*(?:think(?:ing)?|thoughts?|reasoning)\s*\]
    | <\|?channel\|?>\s*(?P<end3>final)\s*(?:<\|?message\|?>)? | <\|?channel\|?>\s*(?:analysis|commentary|thought)\b
    | (?P<end4><channel\|>)
    | <\|inner_prefix\|> | (?P<end5><\|inner_suffix\|>) | <unused94> | (?P<end6><unused95>)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BLOCK = re.compile(  # Open WebUI, fenced blocks
    r"<details\s+type=[\"']?reasoning[^<>]{0,80}>.*?(?:</details>|\Z)"
    r"|^```(?:think(?:ing)?|thoughts?|reasoning)\b.*?(?:^```[ \t]*$|\Z)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
# gpt-oss by a server that drops special tokens: "analysisThe user asks ...assistantfinalB"
_BARE_CHANNELS = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z\"'“(]|\s*$)")
_BARE_FINAL = "assistantfinal"
_TURN_END = re.compile(
    r"(?:<\|(?:im_end|endoftext|eot_id|end|return|eom_id|end_of_text|end_of_turn|im_start|start|user|END_OF_TURN_TOKEN)"
    r"\|>|</s>|<eos>|<end_of_turn>|<start_of_turn>|<turn\|>|<｜end▁of▁sentence｜>|<｜User｜>|\[INST\])"
    r"(?!\s*(?:</|\}))"  # not inside a span that is closed after it
)
_BOX = re.compile(r"<\|(begin|end)_of_box\|>")
_TOKEN = re.compile(
    r"<\|(?:im_start|start)\|>\s*(?:assistant|system|user)?|<\|[A-Za-z][\w ./:-]{0,40}\|>|<｜[^<>｜]{1,40}｜>"
    r"|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]|</?(?:start|end)_of_turn>|<image(?:_?\d+)?>"
)


def read_final(reply: str) -> str:
    """`reply` without its reasoning, and without what follows the end of its turn.

    Whole stretches of reasoning are cut out. One that never ends is cut to the end of the reply; an end without a
    beginning, which the prompt held, cuts all that stands before it. Special tokens stay: see `drop_tokens`.
    """
    text = _drop_reasoning(reply)
    for end in _TURN_END.finditer(text):
        if text[: end.start()].strip():
            return text[: end.start()]
    return text


def drop_tokens(text: str) -> str:
    """`text` without special tokens of chat templates, a space in place of each."""
    return _TOKEN.sub(" ", text) if "<" in text or "[" in text else text


def boxed_by_tokens(text: str) -> str | None:
    """What stands in the last closed <|begin_of_box|>...<|end_of_box|> (GLM-4.5V); None where there is none."""
    marks = list(_BOX.finditer(text))
    for first, last in reversed(list(pairwise(marks))):
        if (first[1], last[1]) == ("begin", "end"):
            return text[first.end() : last.start()]
    return None


def _drop_reasoning(reply: str) -> str:
    if _BARE_CHANNELS.match(reply):
        return reply.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in reply else ""
    reply = _BLOCK.sub("", reply)
    kept: list[str] = []
    start, thinking = 0, False
    for mark in _MARK.finditer(reply):
        if mark["empty"]:
            kept += [] if thinking else [reply[start : mark.start()]]
        elif _is_end(mark):
            if not thinking:  # its beginning stood in the prompt, or this is the end of what spoke of an end
                kept.clear()
            thinking = False
        elif thinking:
            continue
        else:
            kept.append(reply[start : mark.start()])
            thinking = True
        start = mark.end()
    return "".join([*kept, "" if thinking else reply[start:]])


def _is_end(mark: re.Match[str]) -> bool:
    named = any(mark[name] for name in ("end", "end2", "end3", "end4", "end5", "end6"))
    return named or (mark["tail"] or "").lower() in ("_end", "-end")
