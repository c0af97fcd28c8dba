"""`crop`, shard by shard: the teacher, if there is one, lists objects; a finder looks at each image; crops are cut."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from r2i.core import paths
from r2i.core.catalogue import IMAGES, REGIONS
from r2i.core.fingerprint import library_versions, machine
from r2i.core.images import file_sha256
from r2i.core.metrics import count_statuses, remedy_for, require_ok_counts
from r2i.core.params import Crop, Endpoint, Params
from r2i.core.photos import Photos
from r2i.core.progress import track
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.shards import Counts, Shard, sum_counts
from r2i.core.spool import Spool
from r2i.core.tables import Row
from r2i.crop.finders import Finding, Listing, make_finder
from r2i.crop.grounding import OTHER_UNIT, could_be_pixels, listing_job
from r2i.crop.regions import SEGMENTER_ERROR, find_regions_of, row_without_box
from r2i.endpoint.base import Picture
from r2i.endpoint.flow import Job
from r2i.endpoint.pictures import read_images, sort_by_picture
from r2i.endpoint.shard_jobs import JobWork
from r2i.ocr.engines import LIBRARIES as TEXT_LIBRARIES

LIBRARIES = ("pycocotools", "sam2", "torchvision")  # beside those of all shards
SIZE = ["image_id", "width", "height", "status"]
FEW = 1 / 3  # of the images without a region: a warning
DOUBT = 1 / 20  # of the boxes in another unit than asked for: a warning
ENOUGH = 12  # boxes, to tell pixels from thousandths
NOTES = 5  # failures that are told on stderr; the table has them all
STRIKES = 3  # processes that die over one image before it is given up
DIED = "segmenter_died"  # reason of an image that repeatedly killed its process


class BegunCrop(NamedTuple):
    """A shard between the teacher's listings and its rows. `images`: in the order of `pictures`."""

    images: Sequence[Row]
    pictures: Mapping[str, Picture]
    spool: Spool


class CropWork(JobWork[Listing]):
    """Images → regions. A process makes its finder once."""

    stage, inputs, needed, output = "crop", (IMAGES,), IMAGES, REGIONS

    def __init__(self, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        self.begun: dict[str, BegunCrop] = {}  # by the shard's name
        self.listings: dict[str, Listing] = {}  # of the shard in hand: the finder looks into it
        self.finder: Any = None
        self.notes = 0

    def endpoints(self) -> dict[str, Endpoint]:
        params = self.params.chosen.crop
        return {"teacher": params.teacher} if params.asks_teacher and params.teacher else {}

    def depends_on(self, shard: Shard) -> Any:
        """The segmenter, too: names of local files stand for their content, and its sums differ by machine."""
        params = self.params.chosen.crop
        if params.method == "text":
            return [super().depends_on(shard), library_versions(TEXT_LIBRARIES["rapidocr"]), machine()]
        if not params.runs_sam2:
            return super().depends_on(shard)
        files = [Path(params.sam2_model), Path(params.sam2_config)]
        found = [file_sha256(path) if path.is_file() else "" for path in files]
        return [super().depends_on(shard), found, library_versions(LIBRARIES), machine()]

    def gpus(self) -> int:
        return int(self.params.chosen.crop.runs_sam2) or super().gpus()

    def start(self, shard: Shard) -> Iterable[Job[Listing]]:
        """Raises R2IError where the finder can't be made: before a call is paid for whose reply nobody could use."""
        params, seed = self.params.chosen.crop, self.params.seed
        if self.finder is None:
            self.finder = make_finder(params, self.params.chosen.drawing.cut, self.listings)
        images = shard.ok_rows(IMAGES, SIZE)
        names = [image["image_id"] for image in images]
        pictures = read_images(Photos.of(self.params), names, folder=shard.files[IMAGES.name])
        images = sort_by_picture(images, pictures, lambda image: image["image_id"])
        self.begun[shard.name] = BegunCrop(images, pictures, Spool(paths.REGIONS.parent))
        if teacher := self.models.get("teacher"):
            sent = ((image, pictures[image["image_id"]].within(params.max_pixels)) for image in images)
            return (listing_job(image, picture, teacher, params, seed) for image, picture in sent)
        return ()

    def finish(self, shard: Shard, results: Sequence[Listing]) -> tuple[list[Row], Counts]:
        images, pictures, spool = self.begun[shard.name]
        self.listings.clear()
        self.listings.update(zip((image["image_id"] for image in images), results, strict=False))
        rows: list[Row] = []
        with_region = 0
        for image in track(images, f"crop {shard.name}"):
            found = self._regions_of(image["image_id"], pictures)
            with_region += any(row["status"] == OK for row in found)
            for row in found:
                rows.append(row if row["crop"] is None else row | {"crop": spool.keep(row["crop"])})
        counts: Counts = {**count_statuses(rows), "images": len(images), "with_region": with_region}
        params = self.params.chosen.crop
        if params.asks_teacher and params.coordinates == "thousandths":
            pairs = zip(images, results, strict=True)
            counts["as_pixels"] = sum_counts(could_be_pixels(image, one.objects) for image, one in pairs)
        return rows, counts

    def is_settled(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """A GPU that was full may have room the next time."""
        return not any(row["reason"] in (SEGMENTER_ERROR, DIED) for row in rows)

    def release(self, shard: Shard) -> None:
        if begun := self.begun.pop(shard.name, None):
            begun.spool.close()

    def _regions_of(self, image_id: str, pictures: Mapping[str, Picture]) -> list[Row]:
        """Raises R2IError where no image can be done."""
        with count_tries(image_id) as tries:
            if tries > STRIKES:
                self._note(f"{image_id}: {STRIKES} processes died over it")
                return [row_without_box(image_id, FAILED, DIED)]
            return find_regions_of(
                image_id, pictures[image_id].load(), self._find, self.params.chosen.crop, self.params.chosen.drawing.cut
            )

    def _find(self, image_id: str, image: Image.Image) -> Finding:
        try:
            found: Finding = self.finder(image_id, image)
            return found
        except Exception as error:
            self._note(f"{image_id}: {type(error).__name__}: {error}")
            raise

    def _note(self, text: str) -> None:
        self.notes += 1
        if self.notes <= NOTES:
            print(f"crop: an image failed: {text}", file=sys.stderr)


@contextmanager
def count_tries(image_id: str) -> Iterator[int]:
    """How often the image was begun and its process did not live to its end, this time counted in.

    A byte for each in a file that outlives the process; it goes when the block ends, well or by an error.
    """
    file = paths.state_folder() / "crop" / image_id
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as tries:
        tries.write(b"x")
    try:
        yield file.stat().st_size
    finally:
        file.unlink(missing_ok=True)


def require_regions(folder: Path, counts: Mapping[str, Counts], params: Crop) -> None:
    """Raise TableError where there is no region at all. `counts`: of each shard."""
    require_ok_counts(sum_counts(counts.values()), "region", remedies_of(params))


def remedies_of(params: Crop) -> dict[str, str]:
    """What helps where a reason leaves images without a region."""
    if params.method != "contours":
        return _REMEDIES
    quiet = "; contours are for rendered scenes, photographs want another crop.method (docs/photographs.md)"
    return {
        name: text + quiet * (name in ("", "no_region", "low_score", "too_large")) for name, text in _REMEDIES.items()
    }


_UNIT = "name in crop.coordinates the unit in which the teacher writes boxes (docs/photographs.md)"
_REMEDIES = {
    "": "look at the crop section of the profile in params.yaml",
    "no_region": "nothing stands out in these images",
    "repeated_text": "these texts stand in their image more than once: nothing tells which is meant",
    "low_score": "lower crop.min_score",
    "low_stability": "lower crop.min_stability",
    "too_large": "raise crop.max_area_share",
    "too_small": "lower crop.min_side",
    "extreme_aspect": "raise crop.max_box_aspect",
    "too_few_objects": "lower crop.min_objects, or take a stronger teacher",
    "listing_": "the teacher's calls failed: see that its server runs, and what it said (`calls` in metrics/crop.json)",
    "listing_unparsable": "the teacher doesn't write the JSON that it is asked for: take another one",
    "listing_truncated": "raise crop.listing.max_tokens",
    **dict.fromkeys((*OTHER_UNIT, "unit_in_doubt"), _UNIT),
    **dict.fromkeys((SEGMENTER_ERROR, DIED), "see the errors above: less crop.points_per_batch takes less memory"),
}


def warnings_of(counts: Counts, params: Crop) -> list[str]:
    """What a reader of the rows should know. `counts`: of all shards."""
    told = []
    images, lost = counts["images"], counts["images"] - counts["with_region"]
    if lost > FEW * images:
        told.append(
            f"{lost:,} of {images:,} images have no region: {remedy_for(counts['reason'], remedies_of(params))}"
        )
    doubted = sum(counts["reason"].get(f"{REJECTED}: {name}", 0) for name in (*OTHER_UNIT, "unit_in_doubt"))
    if doubted > DOUBT * counts["rows"]:
        told.append(
            f"{doubted:,} of {counts['rows']:,} boxes are not in {params.coordinates}, as far as one can see: {_UNIT}"
        )
    as_pixels = counts.get("as_pixels") or {"boxes": 0, "fit": 0}
    if as_pixels["boxes"] >= ENOUGH and as_pixels["fit"] == as_pixels["boxes"]:
        told.append(f"all {as_pixels['boxes']:,} boxes in small images could be pixels, not thousandths: {_UNIT}")
    return told


def summarise(counts: Counts, folder: Path = REGIONS.folder) -> dict[str, Any]:
    """The metrics of the stage: the funnel, images seen and with a region, regions kept of each, their median area.

    `folder`: the table, for the areas.
    """
    areas = [
        pc.filter(table["area_share"], pc.equal(table["status"], OK))
        for path in sorted(folder.glob("*.parquet"))
        for table in [pq.read_table(path, columns=["area_share", "status"])]
    ]
    kept = pa.chunked_array([chunk for area in areas for chunk in area.chunks], pa.float64()).to_numpy()
    images = counts["images"]
    return {
        **{name: count for name, count in counts.items() if name != "calls"},
        "per_image": len(kept) / images if images else None,
        "median_area_share": float(np.median(kept)) if len(kept) else None,
    }
