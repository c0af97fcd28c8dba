"""The teacher lists objects that appear once, with boxes: all images' calls are in flight together."""

from collections import Counter
from collections.abc import Sequence

from r2i.core.boxes import place_box
from r2i.core.ids import seed_of
from r2i.core.images import shrunk_size
from r2i.core.params import Crop
from r2i.core.parse import ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.crop.finders import Listing, Named, Refused
from r2i.crop.reply import EXAMPLES, OBJECTS_FORM, UNIT_TEXTS, ListedObject, parse_objects
from r2i.endpoint.base import Model, Picture, Reply, Request
from r2i.endpoint.flow import Job

SMALL = 800  # pixels: a side on which a good part of all thousandths would be no pixels
OTHER_UNIT = {"out_of_image", "other_unit"}  # faults of a box that say: not written in `coordinates`


def listing_job(image: Row, picture: Picture, teacher: Model, params: Crop, seed: int) -> Job[Listing]:
    """The listing of one image, by one call."""
    request = ask_objects(image, picture, params, seed)
    ((reply,),) = yield [(teacher, request)]
    return read_listing(image, request, reply, params)


def ask_objects(image: Row, picture: Picture, params: Crop, seed: int) -> Request:
    """What is asked about one image (a row of IMAGES). `picture`: as it is sent, within params.max_pixels."""
    prompt = load_prompt("crop", "list", params.prompts)
    width, height = shrunk_size(image["width"], image["height"], params.max_pixels)
    scale = UNIT_TEXTS[params.coordinates].format(width=width, height=height)
    example = ", ".join(str(x) for x in EXAMPLES[params.coordinates])
    return Request(
        prompt=prompt.fill(scale=scale, example=example), images=(picture,), sampling=params.listing,
        seed=seed_of(seed, "list", image["image_id"]), prompt_sha256=prompt.sha256, form=OBJECTS_FORM,
    )  # fmt: skip


def read_listing(image: Row, request: Request, reply: Reply, params: Crop) -> Listing:
    """A failed or unreadable reply is `failed`: it says nothing about the image.

    Where nothing but the teacher looks at the boxes (method `teacher`), one that can't be in the unit that was asked
    for leaves the image's others `unit_in_doubt`.
    """
    kind = params.teacher.kind if params.teacher else ""
    call = call_of(kind, request, reply, params.max_pixels)
    if reply.status != OK:
        return Listing((), (), FAILED, f"listing_{reply.reason}", call)
    try:
        listed, repaired = parse_objects(reply.text)
    except ReplyError:
        return Listing((), (), FAILED, "listing_unparsable", call)
    objects, refused = sort_out(listed, params, image["width"], image["height"])
    if len(objects) < params.min_objects:
        refused += tuple(Refused(*item, "too_few_objects") for item in objects)
        return Listing((), refused, REJECTED, "too_few_objects", call, repaired)
    if params.method == "teacher" and any(item.reason in OTHER_UNIT for item in refused):
        refused += tuple(Refused(*item, "unit_in_doubt") for item in objects)
        objects = ()
    return Listing(objects, refused, OK, "", call, repaired)


def could_be_pixels(image: Row, objects: Sequence[Named]) -> dict[str, int]:
    """Of objects listed in thousandths in an image of fewer than SMALL pixels a side: how many `boxes` there are, and
    how many would lie on the image (`fit`) if their numbers were pixels. Thousandths soon leave it; pixels never do."""
    width, height = image["width"], image["height"]
    if max(width, height) >= SMALL:
        return {"boxes": 0, "fit": 0}
    fit = [1000 * item.box.right <= width**2 and 1000 * item.box.bottom <= height**2 for item in objects]
    return {"boxes": len(fit), "fit": sum(fit)}


def sort_out(
    listed: Sequence[ListedObject], params: Crop, width: int, height: int
) -> tuple[tuple[Named, ...], tuple[Refused, ...]]:
    """Objects that can be used, and the others: `no_name`, `not_unique`, or the fault of the box.

    No box is cut or mended: a teacher that misses the image can't be trusted about where. A label that stands
    there twice contradicts itself: the object does not appear once, so none of them is used.
    """
    names = Counter(normalise(item.label) for item in listed)
    shown = shrunk_size(width, height, params.max_pixels)
    objects, refused = [], []
    for item in listed:
        box, reason = place_box(item.box, params.coordinates, width, height, shown=shown)
        name = normalise(item.label)
        if not name:
            reason = "no_name"
        elif names[name] > 1:
            reason = "not_unique"
        if reason or box is None:
            refused.append(Refused(item.label, box, reason))
        else:
            objects.append(Named(item.label, box))
    return tuple(objects), tuple(refused)
