"""CountQA (Jayant-Sravan/CountQA; arXiv 2508.06585): 1,528 questions on 1,001 images, open, answers are integers.

Parquet with one row an image: `image`, `questions`, `answers`, `objects`, `categories`, `is_focused`; questions on
one image share its cluster. A row with one `question` and `answer` is read too.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import strip_tags
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("image", "image_path"), ("questions", "question"), ("answers", "answer"))
PUBLISHED = ({"rows": 1528, "multiple_choice": 0, "open": 1528},)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """An item for each question of an image; where questions and answers differ in number, one with its fault."""
    questions, answers = read_list(record.get("questions")), read_list(record.get("answers"))
    if not questions and not answers:
        questions, answers = [record.get("question")], [record.get("answer")]
    if len(questions) != len(answers):  # which belongs to which is anybody's guess
        questions, answers, fault = [questions[0] if questions else ""], [""], "unpaired_answers"
    else:
        fault = ""
    categories = [read_text(name) for name in read_list(record.get("categories"))]
    for question, answer in zip(questions, answers, strict=True):
        yield Draft(
            image=record.get("image", "image_path"),
            folder=record.folder,
            question=strip_tags(read_text(question)),
            answer=read_text(answer),
            dimension=categories[0] if len(categories) == 1 else "",
            fault=fault,
        )
