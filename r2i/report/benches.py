"""What each bench measures and found: a sentence or two for each file in bench/results."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path("bench/results")


@dataclass(frozen=True)
class Bench:
    """`name`: of its script and its result; `takes`: how long, and what it needs beside this repository."""

    name: str
    title: str
    takes: str
    describe: Callable[[dict[str, Any]], str]
    command: str = ""

    @property
    def result(self) -> Path:
        return RESULTS / f"{self.name}.json"

    @property
    def run(self) -> str:
        return self.command or f"python bench/{self.name}.py"


def _describe_gpu_local(bench: dict[str, Any]) -> str:
    half, large = bench["evaluate"]["cuda_bfloat16"], bench["large"]
    return (
        f"On {bench['device']['name']}, mini in bf16 gives {100 * half['same_replies']:.1f} % of the replies of a CPU "
        f"in float32. A model of {large['parameters'] / 1e9:.1f} billion parameters, a picture of "
        f"{large['image_tokens']:,} tokens an item: {large['answers']['peak_gib']:.0f} GiB to answer eight at once, "
        f"{large['coverage']['peak_gib']:.0f} to measure coverage, {large['sft']['peak_gib']:.0f} to fine-tune it."
    )


def read_results() -> Iterator[tuple[Bench, dict[str, Any]]]:
    """Of the benches that were run, in the order in which the page shows them."""
    for bench in BENCHES:
        if bench.result.is_file():
            yield bench, json.loads(bench.result.read_text(encoding="utf-8"))


def _describe_fresh(fresh: dict[str, Any]) -> str:
    full, gap, gain = fresh["views"]["full"], fresh["gap"], fresh["full_gain"]
    return (
        "The learning rate and the mix of views were chosen by looking at the benchmark of the first table. On "
        f"{full['base']['n']} questions that played no part in any choice: full view "
        f"{100 * full['base']['accuracy']:.1f} → {100 * full['distilled']['accuracy']:.1f} % "
        f"({100 * gain['ci95'][0]:+.1f} to {100 * gain['ci95'][1]:+.1f} points), zooming gap "
        f"{100 * gap['base']:.1f} → {100 * gap['distilled']:.1f}, crop view "
        f"{100 * fresh['crop_change']['value']:+.1f} points."
    )


def _describe_objectives(bench: dict[str, Any]) -> str:
    said = []
    for base, found in bench.items():
        if base == "measured":
            continue
        start, lines = found["base"], []
        for name, one in found.items():
            if name == "base":
                continue
            took = "" if one["train_s"] is None else f" in {one['train_s']:,.0f} s"
            lines.append(
                f"{name} {100 * one['full']:.1f} and {100 * one['crop']:.1f} % with {one['rollouts']:,} rollouts and "
                f"{one['labels']:,} voted answers{took}"
            )
        said.append(
            f"From the base `{base}` (full view {100 * start['full']:.1f} %, crop view {100 * start['crop']:.1f} %): "
            + "; ".join(lines)
            + "."
        )
    return " ".join(said)


def _describe_pipeline(bench: dict[str, Any]) -> str:
    return (
        f"On {bench['cores']} CPU cores: clean clone to report {bench['clone_to_report_s'] / 60:.1f} minutes, of which "
        f"`dvc repro` {bench['repro_s'] / 60:.1f}; an idle `dvc repro` {bench['idle_repro_s']:.1f} s; peak memory "
        f"{bench['peak_memory_gib']:.1f} GiB; " + _lock_words(bench["stages_that_differ_from_the_committed_lock"])
    )


def _lock_words(differ: list[str]) -> str:
    if not differ:
        return "the clone, in another place, time zone and locale, wrote the outputs of the committed `dvc.lock`."
    return f"the clone's outputs differ from the committed `dvc.lock` in: {', '.join(differ)}."


def _describe_latency(bench: dict[str, Any]) -> str:
    ratios, single = bench["zoom_over_full"], bench["batch_1"]
    times = ", ".join(f"{1 / ratios['throughput'][size]:.1f}" for size in sorted(ratios["throughput"], key=int))
    return (
        f"{bench['model']} on {bench['device']}, one item at a time: full view P50 "
        f"{single['full']['p50_ms']:.0f} ms, P95 {single['full']['p95_ms']:.0f} ms; zoom {ratios['p50']:.1f} and "
        f"{ratios['p95']:.1f} times that. In batches of 1, 8 and 32 the full view answers {times} times as many items "
        'a second: what is left of "ten times" where both are asked alike.'
    )


def _describe_coverage(bench: dict[str, Any]) -> str:
    most = bench["4096"]
    return (
        f"At 4,096 image tokens: {most['memory_ratio']:.0f} times less memory than full attention matrices, "
        f"{most['time_ratio']:.1f} times less time; memory grows with tokens to the power of "
        f"{bench['slope']['ours']:.2f} instead of {bench['slope']['eager']:.2f}; largest difference "
        f"{bench['max_abs_difference']:.0e}."
    )


def _describe_endpoint(bench: dict[str, Any]) -> str:
    faults, kills, upload = bench["faults"], bench["kills"], bench["upload"]["paper"]
    same = "the same table" if kills["table_identical"] else "ANOTHER table"
    return (
        f"Servers and clients on the same {bench['cores']} cores, images of 300 KB: wall time "
        f"{bench['bound_ratio']['64']:.2f} and {bench['bound_ratio']['256']:.2f} times the bound N·L/C + L_max at "
        f"capacity C = 64 and 256; {faults['requests']:,} requests with 30 % faults: {faults['lost']} lost, "
        f"{faults['invented']} invented, {faults['paid_twice']} paid twice; {kills['kills']} times `kill -9`: {same} "
        f"after {kills['served']:,} calls for {kills['distinct']:,} distinct ones; 20,000 replies again from the store "
        f"in {bench['replay_20000_s']['store']:.1f} s, from the archive in {bench['replay_20000_s']['archive']:.1f} s; "
        f"peak memory {bench['peak_rss_mb']['5000']:.0f} MB at 5,000 requests, {bench['peak_rss_mb']['20000']:.0f} MB "
        f"at 20,000; from a voted question to a train row {upload['requests_per_question']:.1f} requests and "
        f"{upload['megabytes_per_question']:.2f} MB uploaded at 2 megapixels."
    )


def _describe_sample(bench: dict[str, Any]) -> str:
    return (
        f"`sample` chooses among {bench['images']:,} JPEGs of about 2 megapixels at {bench['images_per_s']:.0f} images "
        f'a second, {bench["vs_naive"]:.1f} times "open, verify, open again"; 1,000 near-duplicate searches among a '
        f"million hashes take {1e3 * bench['phash_search_s']['1000000']:.0f} ms."
    )


def _describe_crop(bench: dict[str, Any]) -> str:
    bytes_ = "the same bytes" if bench["same_bytes"] else "OTHER bytes"
    return (
        f"{bench['encoder_passes_per_image']:.0f} pass of SAM 2's encoder per image; Ray with 2 workers takes "
        f"{bench['ray_vs_local']:.2f} of local's time and writes {bytes_}."
    )


def _describe_explore(bench: dict[str, Any]) -> str:
    return (
        f"With {bench['rows']:,} answers `r2i explore` starts in {bench['start_s']:.1f} s, filters and turns a page in "
        f"{bench['p95_ms']:.0f} ms (P95), takes {bench['rss_mb']:.0f} MB; the report of such a run is written in "
        f"{bench['report_s']:.0f} s and has {bench['report_mb']:.1f} MB."
    )


def _describe_labs(bench: dict[str, Any]) -> str:
    more, threshold = bench["one_percent"], bench["threshold_s"]
    return (
        f"With replies kept, an idle `dvc repro` takes {bench['noop_s']:.1f} s; another threshold "
        f"{threshold['1000']:.0f} s at 1,000 answers, {threshold['100000']:.0f} s at 100,000, and no call; one per "
        f"cent more images: {100 * more['calls_share']:.1f} % of the calls, "
        f"{100 * more['shards_rewritten_share']:.1f} % of the shards. The whole table is in [labs.md](labs.md)."
    )


def _describe_scale(bench: dict[str, Any]) -> str:
    few, many = sorted(bench["answers"], key=int)
    peaks, kills, more = bench["peak_mb"], bench["kills"], bench["one_percent_share"]
    highest = max(peaks, key=lambda stage: peaks[stage][many])
    shares = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in more.items() if stage != "benchmark")
    return (
        f"From {bench['answers'][few]:,} to {bench['answers'][many]:,} answers of a thousand characters the stages' "
        f"peak memory grows by a factor of at most {max(bench['peak_ratio'].values()):.2f}; the most is "
        f"{peaks[highest][many]:.0f} MB, of `{highest}`. At the larger size another threshold takes `vote` "
        f"{bench['vote_1000000_s']:.0f} s, and one per cent more images, as shares of the first run's seconds: "
        f"{shares}. `overlay` from the store takes two workers {bench['workers_2']:.2f} times one worker's time, and "
        f"Ray, without its start, {bench['ray_2']:.2f}; {kills['tried']} runs killed by `kill -9`: "
        f"{kills['shards_twice']} shards made twice, {kills['bytes_differ']} tables with other bytes."
    )


def _describe_faults(bench: dict[str, Any]) -> str:
    tried = ", ".join(f"{count:,} {what}" for what, count in sorted(bench["tried"].items()))
    bad = {name: bench[name] for name in ("lost", "invented", "paid_twice", "let_in", "tracebacks")}
    found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in bad.items() if count)
    return (
        f"Hostile or damaged inputs that were tried: {tried}. None made a wrong row, lost a good one, was paid twice, "
        f"was let in or ended in a traceback{'' if not found else ', but for: ' + found}."
    )


def _describe_first_hour(bench: dict[str, Any]) -> str:
    low, high = (100 * edge for edge in bench["gap_ci95"])
    return (
        f"The {bench['commands']} commands of docs/own.md, then a second clone that has nothing to do: "
        f"{bench['seconds']:.0f} s, {bench['requests']:,} requests to a server without `n`, `seed` and schema, "
        f"{bench['wasted']} of them refused for an option; {bench['rows']} train rows of twelve photographs, a zooming "
        f"gap of {100 * bench['gap']:.1f} points ({low:.1f} to {high:.1f})."
    )


def _describe_signs(bench: dict[str, Any]) -> str:
    def share(found: dict[str, Any]) -> str:
        low, high = found["ci95"]
        return f"{100 * found['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f}, n = {found['n']})"

    readers = "; ".join(
        f"{name} {100 * found['crop']:.1f} % of the crops and {100 * found['full']:.1f} % of the full views, a gap of "
        f"{100 * found['gap']:.1f} points ({100 * found['ci95'][0]:.1f} to {100 * found['ci95'][1]:.1f})"
        for name, found in sorted(bench["engines"].items())
    )
    labels, gold = bench["label_precision"], bench.get("gold_precision", {}).get("composed")
    return (
        f"The profile `signs`, pools to report, in {bench['minutes']:.1f} minutes: {bench['rows']} questions kept. "
        f"Right in label and place: {share(labels['composed'])} on composed pictures, by the truth; "
        f"{share(labels['by_hand'])} on photographs, read by a person. "
        + (f"Of the benchmark's gold on composed pictures: {share(gold)}. " if gold else "")
        + f"On held-out images the readers answer {readers}."
    )


def _describe_remotes(bench: dict[str, Any]) -> str:
    kinds = [value for value in bench.values() if isinstance(value, dict) and "push_s" in value]
    push, pull = (sorted(kind[key] for kind in kinds) for key in ("push_s", "pull_s"))
    left = sum(len(kind["left_to_do"]) for kind in kinds)
    return (
        f"The mini profile's {bench['pulled']['files']} files ({bench['pulled']['megabytes']:.0f} MB) through "
        f"{len(kinds)} kinds of remote, all on one machine: push {push[0]:.0f} to {push[-1]:.0f} s, pull {pull[0]:.0f} "
        f"to {pull[-1]:.0f} s, and `dvc repro` then runs {left or 'no'} stages. The whole table is in "
        "[labs.md](labs.md)."
    )


def _describe_kills(bench: dict[str, Any]) -> str:
    return (
        f"{bench['kills']} times `kill -9` of a running `dvc repro`, then `dvc repro` again: {bench['equal']} ended "
        "with the outputs of an undisturbed run."
    )


def _describe_gpu_check(bench: dict[str, Any]) -> str:
    return (
        f"{bench['steps']} steps of DAPO through OpenRLHF on {bench['device']} in {bench['seconds']:.0f} s: reward "
        f"{bench['reward_first']:.2f} → {bench['reward_last']:.2f}; "
        + (f"faults: {'; '.join(bench['faults'])}." if bench["faults"] else "no faults.")
    )


def _describe_house(bench: dict[str, Any]) -> str:
    return (
        f"dvc.yaml {bench['dvc_yaml_lines']} lines, dvc.lock {bench['dvc_lock_lines']:,}; {bench['rooms']} rooms and "
        f"{bench['loose_modules']} loose modules in r2i/. A comment added to a file that ten stages import reruns "
        f"{' '.join(bench['comment_edit_reruns'])}. An idle `dvc repro` takes {bench['idle_ratio']:.2f} times that of "
        f"revision {bench['earlier']} ({bench['idle_seconds']:.1f} s); both at revision {bench['repro_revision']}."
    )


def _describe_protocols(bench: dict[str, Any]) -> str:
    base = bench["models"]["mini"]["open"]

    def change(way: str, what: str) -> str:
        found = base[way][what]
        low, high = (100 * end for end in found["ci95"])
        return f"{100 * found['change']:+.1f} ({low:+.1f} to {high:+.1f})"

    return (
        f"{bench['items']} questions without their options, asked of models/mini: in our protocol's words full view "
        f"{100 * base['own']['full']:.1f} %, crop view {100 * base['own']['crop']:.1f} %. In the words that the "
        f"student is trained on, with nothing to choose from: full view {change('trained_words', 'full')} points, crop "
        f"view {change('trained_words', 'crop')}, zooming gap {change('trained_words', 'gap')}; without any word: full "
        f"view {change('no_words', 'full')}, zooming gap {change('no_words', 'gap')}."
    )


def _describe_rehearsal(bench: dict[str, Any]) -> str:
    profiles = bench["profiles"]
    done = [
        f"`{name}` ({len(one['stages_s'])} stages, {sum(one['stages_s'].values()) / 60:.0f} minutes)"
        for name, one in profiles.items() if one["reached_report"]
    ]  # fmt: skip
    stopped = [f"`{name}`" for name, one in profiles.items() if not one["reached_report"]]
    return (
        "With small models and few photographs, on a CPU, the whole DAG reached its report in "
        f"{', '.join(done) or 'none'}{'; not in ' + ', '.join(stopped) if stopped else ''}. "
        "The figures of these reports mean nothing."
    )


def _describe_openrlhf_cpu(bench: dict[str, Any]) -> str:
    runs = bench["runs"]
    each = [f"`{name}` {run['steps']:.0f} steps, {run['seconds'] / 60:.1f} minutes" for name, run in runs.items()]
    return (
        f"OpenRLHF's own loop through our launcher, on a CPU: {'; '.join(each)}. Most memory "
        f"{max(run['peak_mb'] for run in runs.values()) / 1000:.1f} GB; vLLM and trainer differ by at most "
        f"{max(run['vllm_kl_max'] for run in runs.values()):.1e} (`vllm_kl`) after a weight sync."
    )


BENCHES = (
    Bench("house", "The size of the house", "4 minutes; TESTS=1: 20", _describe_house, "make counts"),
    Bench("fresh", "Questions that no choice has seen", "2 minutes, after `make repro`", _describe_fresh),
    Bench("objectives", "Objectives on the same rows", "1 second, after `make repro`", _describe_objectives),
    Bench("pipeline", "A clean clone", "10 minutes, nothing else running", _describe_pipeline),
    Bench("latency", "Latency of a zoom", "1 minute", _describe_latency),
    Bench("protocols", "Two ways to ask", "2 minutes; after `make repro`: the trained model too", _describe_protocols),
    Bench("coverage", "Measuring attention coverage", "2 minutes, 6 GB of memory", _describe_coverage),
    Bench("endpoint", "Calls to servers", "10 minutes", _describe_endpoint),
    Bench("sample", "Choosing photographs", "2 minutes", _describe_sample),
    Bench("crop", "Finding regions", "2 minutes", _describe_crop),
    Bench("explore", "Pages and report at a million answers", "2 minutes, after `make repro`", _describe_explore),
    Bench("labs", "What changes cost", "15 minutes", _describe_labs),
    Bench("scale", "Memory and seconds as tables grow", "25 minutes, nothing else running", _describe_scale),
    Bench("faults", "Hostile inputs", "3 minutes", _describe_faults),
    Bench("first_hour", "The first hour", "2 minutes", _describe_first_hour),
    Bench("signs", "Text in photographs", "a quarter of an hour", _describe_signs, "make signs"),
    Bench("remotes", "Sharing artifacts", "5 minutes, with moto, wsgidav and sshd", _describe_remotes),
    Bench("kills", "Killed runs", "10 minutes", _describe_kills),
    Bench("gpu_local", "In this process on a GPU", "9 minutes on one GPU, after `make repro`", _describe_gpu_local),
    Bench("rehearsal", "Profiles rehearsed", "20 minutes a profile", _describe_rehearsal, "make rehearsal PROFILE=..."),
    Bench(
        "openrlhf_cpu", "The loop of OpenRLHF on a CPU", "a quarter of an hour, 11 GB of memory", _describe_openrlhf_cpu
    ),
    Bench("gpu_check", "DAPO on a GPU", "10 minutes on one GPU", _describe_gpu_check, "make gpu-check"),
)
