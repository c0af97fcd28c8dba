"""How the rows were made: agreement of the teachers, what every filter changed, tokens and cost, the human check."""

from collections.abc import Mapping
from typing import Any

from r2i.report.bars import Bar, bars_of
from r2i.report.charts import ci, percent
from r2i.report.text import words

CALLING = ("question", "answer", "vote", "overlay")  # stages that call models
Metrics = Mapping[str, Mapping[str, Any]]
Lines = list[list[str]]


def agreement_bars(metrics: Metrics) -> list[Bar]:
    """Questions by how many teacher samples gave the most common answer; how often it was right, where audited."""
    counts = metrics["vote"].get("agree") or {}
    right = (metrics["audit"].get("votes") or {}).get("by_agreement") or {}
    ordered = {key: counts[key] for key in sorted(counts, key=lambda key: (-_number(key), key))}
    bars = bars_of(ordered, False)
    return [(n, at, said + (f" · {percent(right[n]['value'])} right" if n in right else "")) for n, at, said in bars]


def _number(key: str) -> float:
    return float(key) if key.replace(".", "", 1).isdigit() else -1.0


def teacher_table(metrics: Metrics) -> tuple[list[str], Lines]:
    """(head, lines), a line for each teacher: answers, those without one, agreement with the vote, right ones.

    What is known of no teacher is no column: agreement before there is a vote, right ones without an audit.
    """
    by_teacher = metrics["answer"].get("by_teacher") or {}
    agrees = metrics["vote"].get("teacher_agreement") or {}
    right = (metrics["audit"].get("answers") or {}).get("by_teacher") or {}
    lines = [
        [
            name,
            f"{found['rows']:,}",
            f"{found['rows'] - found['status'].get('ok', 0):,}",
            percent(agrees.get(name)),
            percent(right[name]["value"]) if name in right else "–",
        ]
        for name, found in sorted(by_teacher.items())
    ]
    return known_columns(["Teacher", "Samples", "Without an answer", "Agrees with the vote", "Right"], lines)


def known_columns(head: list[str], lines: Lines) -> tuple[list[str], Lines]:
    """Without the columns in which no line has a value."""
    kept = [place for place in range(len(head)) if any(line[place] not in ("", "–") for line in lines)]
    return [head[place] for place in kept], [[line[place] for place in kept] for line in lines]


def vote_words(metrics: Metrics) -> str:
    """Who decided, and how often the teachers differed."""
    vote = metrics["vote"]
    if "decided_by_rules" not in vote or not vote.get("rows"):
        return ""
    parts = [
        f"Rules decided {percent(vote['decided_by_rules'] / vote['rows'])} of {vote['rows']:,} votes",
        f"the judge {vote.get('judged', 0):,}",
    ]
    if "teachers_differ" in vote:
        parts.append(f"the teachers' own majorities differ on {vote['teachers_differ']:,} questions")
    saved = (metrics["answer"].get("not_asked") or {}).get("samples")
    if saved:
        parts.append(f"{saved:,} samples were not asked for, because agreement was out of reach without them")
    return ", ".join(parts) + "."


def filter_lines(metrics: Metrics) -> Lines:
    """What each filter kept, and the share that is right before it, after it, and among what it dropped.

    Filters of which the audit knows nothing are left out: what they kept is in the funnel.
    """
    audit = metrics["audit"]
    questions, votes, train = (audit.get(name) or {} for name in ("questions", "votes", "train"))
    steps = [
        ("Validation of questions: answerable and unambiguous", "question",
         _cell(questions, "before", "good"), _cell(questions, "after", "good"), _cell(questions, "dropped", "good")),
        ("Vote: the most common answer is right", "vote",
         _cell(votes, "majority"), _cell(votes, "kept"), _cell(votes, "dropped")),
        ("Distractors and difficulty: the label is right (dropped: too easy)", "overlay",
         _cell(votes, "kept"), _cell(train, "label_precision"), _cell(train, "too_easy")),
    ]  # fmt: skip
    lines = []
    for name, stage, before, after, dropped in steps:
        found = metrics[stage].get("questions") if stage == "overlay" else metrics[stage]
        known = {before, after, dropped} != {"–"}
        if known and isinstance(found, Mapping) and "status" in found:
            kept = found["status"].get("ok", 0)
            lines.append([name, f"{kept:,} of {found['rows']:,}", before, after, dropped])
    return lines


def _cell(found: Mapping[str, Any], *keys: str) -> str:
    value: Any = found
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return percent(value.get("value")) if isinstance(value, Mapping) else "–"


def cost_lines(metrics: Metrics) -> tuple[list[str], Lines]:
    """(head, lines): calls of every stage and model, and what they come to for one kept training question."""
    kept = (metrics["overlay"].get("questions") or metrics["overlay"]).get("status", {}).get("ok", 0)
    lines: Lines = []
    whole: dict[str, float | None] = dict.fromkeys(("requests", "tokens_in", "tokens_out", "cost"))
    for stage in CALLING:
        for model, calls in (metrics[stage].get("calls") or {}).items():
            lines.append([stage, model, *(_amount(calls.get(key), key) for key in whole)])
            for key, so_far in whole.items():
                if calls.get(key) is not None:
                    whole[key] = (so_far or 0) + calls[key]
    if lines and kept:
        shares = (_amount(None if count is None else count / kept, key) for key, count in whole.items())
        lines.append(["for a kept question", "", *shares])
    return known_columns(["Stage", "Model", "Requests", "Prompt tokens", "Reply tokens", "Cost"], lines)


def _amount(value: float | None, key: str) -> str:
    if value is None:
        return "–"
    if key == "cost":
        return f"{value:,.4g}"
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.1f}"


def dimension_table(metrics: Metrics) -> tuple[list[str], Lines]:
    """(head, lines): questions of every kind as they were asked, voted on, kept and measured."""
    sources = {
        "Asked": metrics["question"].get("by_dimension"),
        "Voted": metrics["vote"].get("kept_by_dimension"),
        "Kept": metrics["overlay"].get("kept_by_dimension"),
        "Benchmark": metrics["benchmark"].get("dimension"),
    }
    columns = {name: found for name, found in sources.items() if found}
    totals = {name: sum(found.values()) for name, found in columns.items()}
    weight: dict[str, float] = {}
    for name, found in columns.items():
        for key, count in found.items():
            weight[key] = max(weight.get(key, 0.0), count / max(1, totals[name]))
    order = sorted(weight, key=lambda key: (-weight[key], key))
    shown, rest = order[:24], order[24:]
    lines = [
        [words(key) or "(none)", *(_share(found.get(key, 0), totals[n]) for n, found in columns.items())]
        for key in shown
    ]
    if rest:
        sums = (_share(sum(found.get(key, 0) for key in rest), totals[n]) for n, found in columns.items())
        lines.append([f"{len(rest):,} others", *sums])
    return ["Dimension", *columns], lines


def _share(count: int, total: int) -> str:
    return f"{count:,} ({percent(count / max(1, total))})"


def duplicate_lines(metrics: Metrics, questions: int, wordings: int) -> Lines:
    """What was thrown out for being there already, and how often kept questions are worded alike."""
    lines = []
    for stage, reason, name in (
        ("sample", "duplicate", "images, the same file"),
        ("sample", "near_duplicate", "images, nearly the same"),
        ("crop", "overlap", "regions that overlap a better one"),
        ("question", "duplicate", "questions asked twice of a region"),
    ):
        count = (metrics[stage].get("reason") or {}).get(f"rejected: {reason}", 0)
        if "status" in metrics[stage]:
            lines.append([name, f"{count:,}"])
    if questions:
        lines += [["kept questions", f"{questions:,}"], ["different wordings among them", f"{wordings:,}"]]
    return lines


def review_cards(metrics: Metrics) -> list[dict[str, Any]]:
    """What people decided, of training rows and of benchmark items; [] where nobody has looked."""
    cards = []
    for stage, what in (("overlay", "Training rows"), ("benchmark", "Benchmark items")):
        found = metrics[stage].get("review")
        if isinstance(found, Mapping) and found.get("reviewed"):
            counts = [[words(key), f"{found[key]:,}"] for key in _COUNTED if isinstance(found.get(key), int)]
            shares = [
                [name, _interval(found[key])] for key, name in _SHARES.items() if isinstance(found.get(key), Mapping)
            ]
            alpha = found.get("alpha")
            if isinstance(alpha, Mapping) and alpha.get("value") is not None:
                shares.append(["Krippendorff's alpha", f"{alpha['value']:.2f} (n = {alpha.get('n', 0):,})"])
            cards.append({"title": what, "note": "", "head": [], "lines": counts + shares})
    return cards


_COUNTED = ("reviewed", "accepted", "fixed", "rejected", "disputed", "open", "stale")
_SHARES = {"acceptance": "acceptance", "precision_unreviewed": "estimated precision of the others"}


def _interval(found: Mapping[str, Any]) -> str:
    pair = found.get("ci95") or (None, None)
    return f"{percent(found.get('value'))} {ci(pair)}"
