"""Class names: where they come from, and whether there are as many as classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vigil.errors import CannotStartError
from vigil.inference.labels import COCO_80, COCO_91, class_names, read_labels

if TYPE_CHECKING:
    from pathlib import Path


def test_coco_names_stand_at_their_ids() -> None:
    """80 names in order, and the same ones among 91 that all differ, each at COCO's own id."""
    assert (len(COCO_80), len(COCO_91)) == (80, 91)
    assert (COCO_80[0], COCO_80[16], COCO_80[56], COCO_80[79]) == ("person", "dog", "chair", "toothbrush")
    assert (COCO_91[1], COCO_91[18], COCO_91[62], COCO_91[90]) == ("person", "dog", "chair", "toothbrush")
    assert tuple(name for name in COCO_91 if not name.startswith("unused")) == COCO_80
    assert len(set(COCO_91)) == 91


def test_file_has_a_name_a_line(tmp_path: Path) -> None:
    """Spaces around a name, a byte order mark, CRLF and empty lines at the end do not count."""
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffperson\r\n cell phone \r\nübergroß\r\n\r\n".encode())
    assert read_labels(file) == ("person", "cell phone", "übergroß")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"person\n\ncar\n", b"\xff\xfe\x00"])
def test_unusable_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """No names at all, a hole among them, which would shift the rest, and other encodings are errors."""
    file = tmp_path / "names.txt"
    file.write_bytes(content)
    with pytest.raises(CannotStartError, match=r"model\.labels: .*names\.txt"):
        read_labels(file)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is said to be missing, by its key."""
    with pytest.raises(CannotStartError, match=r"model\.labels: .* cannot be read"):
        read_labels(tmp_path / "none.txt")


@pytest.mark.parametrize("classes", [2, None])
def test_given_names_are_taken(classes: int | None) -> None:
    """Names that agree with the output, or with an output that does not tell, are the model's names."""
    assert class_names(("cat", "dog"), classes) == ("cat", "dog")


def test_other_numbers_of_names_are_refused() -> None:
    """More or fewer names than classes are an error that says both numbers and what to give."""
    with pytest.raises(CannotStartError, match=r"80 classes and there are 2 class names.*model\.labels"):
        class_names(("cat", "dog"), 80)


@pytest.mark.parametrize(("classes", "names"), [(80, COCO_80), (90, COCO_91[1:]), (91, COCO_91)])
def test_coco_is_assumed_aloud(
    classes: int, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """COCO's numbers of classes without names get COCO's names, and the log says that it is a guess."""
    assert class_names((), classes) == names
    assert f"{classes} classes are assumed to be COCO's" in caplog.text


@pytest.mark.parametrize("classes", [1, 81, None])
def test_nameless_classes_are_refused(classes: int | None) -> None:
    """Without names and without COCO's number nothing can be called anything: the error asks for names."""
    with pytest.raises(CannotStartError, match=r"model\.labels"):
        class_names((), classes)
