"""The README's sentences on what was measured: one for each file in bench/results that is there."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path("bench/results")


def bench_lines() -> list[str]:
    """In the order in which they stand in the README."""
    lines = []
    for names, line in (
        (("fresh",), _fresh_line),
        (("pipeline",), _bench_line),
        (("endpoint",), _endpoint_line),
        (("sample", "crop"), _photo_line),
        (("explore",), _explore_line),
        (("labs",), _labs_line),
        (("kills",), _kills_line),
    ):
        paths = [RESULTS / f"{name}.json" for name in names]
        if all(path.is_file() for path in paths):
            lines.append(line(*(json.loads(path.read_text(encoding="utf-8")) for path in paths)))  # type: ignore[operator]
    return lines


def _bench_line(bench: dict[str, Any]) -> str:
    return (
        f"On {bench['cores']} CPU cores (`python bench/pipeline.py`): clean clone to report "
        f"{bench['clone_to_report_s'] / 60:.1f} minutes, of which `dvc repro` {bench['repro_s'] / 60:.1f}; "
        f"an idle `dvc repro` {bench['idle_repro_s']:.1f} s; peak memory {bench['peak_memory_gib']:.1f} GiB; "
        + _lock_words(bench["stages_that_differ_from_the_committed_lock"])
    )


def _endpoint_line(bench: dict[str, Any]) -> str:
    faults, kills, upload = bench["faults"], bench["kills"], bench["upload"]["paper"]
    same = "the same table" if kills["table_identical"] else "ANOTHER table"
    return (
        "Calls to servers (`python bench/endpoint.py`, servers and clients on the same "
        f"{bench['cores']} cores, images of 300 KB): wall time {bench['bound_ratio']['64']:.2f} and "
        f"{bench['bound_ratio']['256']:.2f} times the bound N·L/C + L_max at capacity C = 64 and 256; "
        f"{faults['requests']:,} requests with 30 % faults: {faults['lost']} lost, {faults['invented']} invented, "
        f"{faults['paid_twice']} paid twice; {kills['kills']} times `kill -9`: {same} after {kills['served']:,} calls "
        f"for {kills['distinct']:,} distinct ones; 20,000 replies again from the store in "
        f"{bench['replay_20000_s']['store']:.1f} s, from the archive in {bench['replay_20000_s']['archive']:.1f} s; "
        f"peak memory {bench['peak_rss_mb']['5000']:.0f} MB at 5,000 requests, {bench['peak_rss_mb']['20000']:.0f} MB "
        f"at 20,000; from a voted question to a train row {upload['requests_per_question']:.1f} requests and "
        f"{upload['megabytes_per_question']:.2f} MB uploaded at 2 megapixels."
    )


def _photo_line(sample: dict[str, Any], crop: dict[str, Any]) -> str:
    bytes_ = "the same bytes" if crop["same_bytes"] else "OTHER bytes"
    return (
        f"Photographs: `python bench/sample.py` chooses among {sample['images']:,} JPEGs of about 2 megapixels at "
        f'{sample["images_per_s"]:.0f} images/s, {sample["vs_naive"]:.1f} times "open, verify, open again"; 1,000 '
        f"near-duplicate searches among a million hashes take {1e3 * sample['phash_search_s']['1000000']:.0f} ms. "
        f"`python bench/crop.py`: {crop['encoder_passes_per_image']:.0f} pass of SAM 2's encoder per image; Ray with 2 "
        f"workers takes {crop['ray_vs_local']:.2f} of local's time and writes {bytes_}."
    )


def _fresh_line(fresh: dict[str, Any]) -> str:
    full, gap, gain = fresh["views"]["full"], fresh["gap"], fresh["full_gain"]
    return (
        "The learning rate and the mix of views were chosen by looking at this benchmark. On "
        f"{full['base']['n']} questions that played no part in any choice (`python bench/fresh.py`): full view "
        f"{100 * full['base']['accuracy']:.1f} → {100 * full['distilled']['accuracy']:.1f} % "
        f"({100 * gain['ci95'][0]:+.1f} to {100 * gain['ci95'][1]:+.1f} points), zooming gap "
        f"{100 * gap['base']:.1f} → {100 * gap['distilled']:.1f}, crop view "
        f"{100 * fresh['crop_change']['value']:+.1f} points."
    )


def _lock_words(differ: list[str]) -> str:
    if not differ:
        return "the clone, in another place, time zone and locale, wrote the outputs of the committed `dvc.lock`."
    return f"the clone's outputs differ from the committed `dvc.lock` in: {', '.join(differ)}."


def _explore_line(found: dict[str, Any]) -> str:
    return (
        f"Pages (`python bench/explore.py`, {found['rows']:,} answers): `r2i explore` starts in "
        f"{found['start_s']:.1f} s, filters and turns a page in {found['p95_ms']:.0f} ms (P95), takes "
        f"{found['rss_mb']:.0f} MB; the report of such a run is written in {found['report_s']:.0f} s and has "
        f"{found['report_mb']:.1f} MB."
    )


def _labs_line(found: dict[str, Any]) -> str:
    more, threshold = found["one_percent"], found["threshold_s"]
    return (
        f"What changes cost (`python bench/labs.py`, replies kept): an idle `dvc repro` {found['noop_s']:.1f} s; "
        f"another threshold {threshold['1000']:.0f} s at 1,000 answers, {threshold['100000']:.0f} s at 100,000, and no "
        f"call; one per cent more images: {100 * more['calls_share']:.1f} % of the calls, "
        f"{100 * more['shards_rewritten_share']:.1f} % of the shards."
    )


def _kills_line(found: dict[str, Any]) -> str:
    return (
        f"{found['kills']} times `kill -9` of a running `dvc repro` (`python bench/kills.py`), then `dvc repro` again: "
        f"{found['equal']} ended with the outputs of an undisturbed run."
    )
