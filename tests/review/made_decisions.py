"""Small decisions for the tests of the review."""

from typing import Any

from r2i.review.decisions import Decision, Fix, Was, new_id

WAS = Was(question="what digit is on the red square?", answer="5", dimension="ocr", box=[8, 8, 24, 24])


def decision(
    verdict: str = "accept", reviewer: str = "ann", subject: str = "q1", at: int = 0, was: Was = WAS, **more: Any
) -> Decision:
    """One decision, `at` seconds after noon; of a fix name what changes, e.g. `answer="6"`."""
    fix = {name: more.pop(name) for name in list(more) if name in Fix.model_fields}
    stamp = f"2026-01-01T12:{at // 60:02d}:{at % 60:02d}.000000Z"
    fields: dict[str, Any] = {
        "decision_id": new_id(), "subject": subject, "verdict": verdict, "was": was, "reviewer": reviewer,
        "fix": Fix(**fix), "frame": "voted", "at": stamp, "reason": "wrong_answer" if verdict == "reject" else "",
    }  # fmt: skip
    return Decision(**(fields | more))


def lines(*decisions: Decision) -> bytes:
    return b"".join(one.model_dump_json(exclude_none=True).encode() + b"\n" for one in decisions)
