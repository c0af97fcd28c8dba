"""What `r2i verify` prints."""

from collections import Counter

from r2i.tools.verify import Finding
from r2i.tools.verify.run import Verdict


def finding_text(finding: Finding) -> str:
    """`differs  data/vote/votes/part-00000-of-00001.parquet: …`"""
    return f"{finding.kind:8} {finding.where}: {finding.why}"


def summary_text(verdict: Verdict) -> str:
    counts = Counter(finding.kind for finding in verdict.faults)
    hashed = f"{verdict.outs} outputs, {verdict.size / 1e6:,.1f} MB, as dvc.lock names them"
    replies = f"{verdict.records:,} replies' records and {verdict.segments:,} segments sound"
    if not counts:
        return f"{hashed}; {replies}; ids, labels, votes, pictures and metrics agree"
    faults = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    return f"{counts.total()} fault{'s' * (counts.total() != 1)}: {faults}"
