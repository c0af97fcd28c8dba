"""The language of the mini checkpoint: questions about a scene, and the replies that a teacher gives.

Replies have the forms that the parsers of the rooms read (`r2i/question/reply.py`,
`r2i/answer/ask.py`, `r2i/overlay/reply.py`), the same forms that large teachers are asked for.
"""

from collections.abc import Sequence

from r2i.mini.world import ANSWERS, Scene, Thing

QUESTIONS = {
    "counting": "how many dots are on the {}?",
    "ocr": "what digit is on the {}?",
    "color": "what color is the dot on the {}?",
    "structure": "which side of the ring on the {} is open?",
    "identification": "what symbol is on the {}?",
    "material": "what is the {} made of?",
    "shape": "what shape is the {} object?",
}
CHECKS = ("answerable_from_crop", "one_clear_answer", "same_in_both", "names_target")
WORDS = (
    "user assistant write questions check answer the is wrong answers choose true false "
    "counting ocr color structure identification material shape A B C D"
)


def ask(thing: Thing, dimension: str) -> str:
    """The question about `thing` in `dimension`; `shape` is asked by colour alone."""
    return QUESTIONS[dimension].format(thing.color if dimension == "shape" else thing.name)


def reply_with_questions(thing: Thing) -> str:
    """The reply to `write`: three questions as JSON; shape is filed under structure."""
    asked = [(thing.mark, thing.mark), ("material", "material"), ("shape", "structure")]
    return (
        '[{"question": "'
        + '"}, {"question": "'.join(f' {ask(thing, kind)}", "dimension": " {label}' for kind, label in asked)
        + '"}]'
    )


NO_QUESTIONS = "[]"


def reply_to_check(scene: Scene, shown: Thing | None, asked: Thing, dimension: str) -> str:
    """The reply to `check`: the four criteria of the paper as JSON."""
    if dimension == "shape":
        named = [t for t in scene.things if t.color == asked.color]
    else:
        named = [t for t in scene.things if t.name == asked.name]
    answerable = shown is not None and shown in named and shown.truth(dimension) is not None
    unique = len(named) == 1
    values = (answerable, answerable and unique, answerable and unique, unique)
    body = ", ".join(f'"{key}": {str(value).lower()}' for key, value in zip(CHECKS, values, strict=True))
    return "{" + body + "}"


def reply_with_answer(answer: str) -> str:
    """The reply to `answer`: a closed span."""
    return f"<answer> {answer}</answer>"


def reply_with_letter(answer: str, letter: str) -> str:
    """The reply to `choose`: the answer, then its letter in a closed span."""
    return f" {answer}<answer> {letter}</answer>"


def reply_with_distractors(distractors: Sequence[str]) -> str:
    """The reply to `distractors`: a JSON list."""
    return '[" ' + '", " '.join(distractors) + '"]'


def vocabulary() -> list[str]:
    """Every token, special ones first; words carry the space before them."""
    special = ["<pad>", "<unk>", "<|im_start|>", "<|im_end|>"]
    special += ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    words = WORDS.split() + " ".join(QUESTIONS.values()).replace("{}", " ").replace("?", " ").split()
    words += [str(digit) for digit in range(10)]
    for values in ANSWERS.values():
        words += values
    marks = [f" {letter}." for letter in "ABCD"]  # one token: a letter stands right before its option
    return special + STRUCTURE + list(".?,:'") + [f" {word}" for word in dict.fromkeys(words)] + marks


STRUCTURE = [
    "<answer>", "</answer>",
    '[{"question": "', '", "dimension": "', '"}, {"question": "', '"}]', "[]", '["', '", "', '"]',
    *[f'{"{" if i == 0 else ", "}"{key}":' for i, key in enumerate(CHECKS)], "}",
]  # fmt: skip
