"""The names of a model's classes: the user's own, those in the weights, or COCO's if it looks so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

# COCO's list of 91 slots, its ids being the places in it; ten ids besides 0 were never used.
_SLOTS: Final = (  # noqa: SIM905 -- as literals it would be a page
    "-,person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,-,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,-,backpack,umbrella,-,-,"
    "handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,"
    "surfboard,tennis racket,bottle,-,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,"
    "broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,-,dining table,-,-,toilet,-,tv,"
    "laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,-,book,clock,vase,"
    "scissors,teddy bear,hair drier,toothbrush"
).split(",")

COCO_80: Final = tuple(name for name in _SLOTS if name != "-")
"""The classes of COCO that are used, in the order of their ids."""
COCO_91: Final = tuple(f"unused {slot}" if name == "-" else name for slot, name in enumerate(_SLOTS))
"""COCO's ids as they are, from 0: a name for each, so that none is another's."""

_ASSUMED: Final = {80: COCO_80, 90: COCO_91[1:], 91: COCO_91}


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the class names of a file, one a line; raises `CannotStartError` if there are none to be had."""
    try:
        lines = path.read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStartError(f"model.labels: {path} cannot be read: {error}") from error
    names = tuple(line.strip() for line in lines)
    if not all(names) or not names:
        empty = names.index("") + 1 if names else 1
        raise CannotStartError(
            f"model.labels: line {empty} of {path} is empty; it takes a class name on every line"
        )
    return names


def class_names(given: tuple[str, ...], classes: int | None) -> tuple[str, ...]:
    """Return a name for each of the output's `classes` (`None`: it does not tell how many), `given` if any.

    Raises `CannotStartError` if the numbers differ, or nothing is given and the number is not COCO's.
    """
    if given:
        if classes is not None and len(given) != classes:
            raise CannotStartError(
                f"the model's output has {classes} classes and there are {len(given)} class names; "
                f"give model.labels a file with {classes} lines, a name on each"
            )
        return given
    names = _ASSUMED.get(classes) if classes is not None else None
    if names is None:
        known = "does not tell how many classes it has" if classes is None else f"has {classes} classes"
        raise CannotStartError(
            f"the weights carry no class names and the model's output {known}; "
            "give model.labels a file with a class name on each line"
        )
    log.warning("the weights carry no class names; %d classes are assumed to be COCO's", classes)
    return names
