"""Labels that a stock MONAI Label wrote into the same folder: adopted where they follow the label contract.

::

    datastore_v2.json                 its index, beside the labels folder; it is not needed
    labels/final/<stock id>.json      a label; the stock id is the study's file name without its extension
    labels/final/<stock id>.nii.gz    a segmentation; nothing for VPTCT
    labels/original/                  what its models said

Nothing of it is changed or removed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath

from vpt_plugin.ct.files import KINDS
from vpt_plugin.errors import LabelConflictError, LabelError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.store.ids import study_ids
from vpt_plugin.store.label_versions import SavedLabel, read_label_file
from vpt_plugin.store.labels import LabelFolder

_logger = logging.getLogger(__name__)
_UID = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)


@dataclass(frozen=True)
class StockFile:
    """A file or folder that a stock MONAI Label left.

    Attributes:
        path: where it is.
        what: what it is, or why it is not adopted, for people.
        label: what it says, where it follows the label contract.
    """

    path: Path
    what: str
    label: StudyLabel | None = None


@dataclass(frozen=True)
class StockReport:
    """What became of the labels of a stock MONAI Label.

    Attributes:
        adopted: now, as the first version of their study and task.
        set_aside: now, because the study has a label of VPTCT for that task already.
        known: labels that were adopted or set aside at an earlier start.
        not_adopted: labels of no study, of more than one, or of one whose place a file has taken.
    """

    adopted: tuple[SavedLabel, ...] = ()
    set_aside: tuple[StockFile, ...] = ()
    known: tuple[StockFile, ...] = ()
    not_adopted: tuple[StockFile, ...] = ()


def find_stock_files(labels_root: Path) -> list[StockFile]:
    """What a stock MONAI Label left in a folder of labels and beside it.

    Args:
        labels_root: the labels folder; need not be there.
    """
    found = []
    for path, what in (
        (labels_root.parent / "datastore_v2.json", "the index of a stock MONAI Label; VPTCT needs none"),
        (labels_root / "original", "what the models of a stock MONAI Label said; nothing for VPTCT"),
    ):
        if path.exists():
            found.append(StockFile(path, what))
    final = labels_root / "final"
    files = sorted(final.iterdir()) if final.is_dir() else []
    return found + [_look_at(path) for path in files if not path.name.startswith(".") and path.is_file()]


def adopt_stock_labels(known_ids: Collection[str], labels: LabelFolder) -> StockReport:
    """Save the labels of a stock MONAI Label under the studies' ids; done again, it does nothing more.

    A study that has a label of VPTCT for the same task keeps it as its newest: then the stock label is set
    aside, for a person to decide. It is not adopted where two studies go by its name, such as ``p02.nii.gz``
    and ``p02.nrrd``: nobody knows which of them was meant.

    Args:
        known_ids: of all studies that there are.
        labels: where they are looked for and saved.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    adopted, set_aside, known, not_adopted = [], [], [], []
    for file in find_stock_files(labels.root):
        if file.label is None:
            continue
        studies = _studies_of(file.path, known_ids)
        if len(studies) != 1:
            what = (
                f"a label that could be of {' or '.join(studies)}"
                if studies
                else "a label of no study that is here"
            )
            not_adopted.append(StockFile(file.path, f"{what}: it is not adopted", file.label))
        elif _is_known(studies[0], file.label, labels):
            known.append(file)
        else:
            try:
                adopted.append(labels.save(studies[0], file.label, if_version=0))
            except LabelConflictError as conflict:
                set_aside.append(StockFile(file.path, str(conflict), file.label))
            except LabelError as error:
                not_adopted.append(StockFile(file.path, f"not adopted: {error}", file.label))
    report = StockReport(tuple(adopted), tuple(set_aside), tuple(known), tuple(not_adopted))
    _log(report)
    return report


def _look_at(path: Path) -> StockFile:
    if path.suffix != ".json":
        return StockFile(path, "a segmentation or another file that is no label; nothing for VPTCT")
    try:
        label = StudyLabel.from_json(read_label_file(path))
    except (OSError, LabelError) as error:
        return StockFile(path, f"no label of the contract, so it is not adopted: {error}")
    return StockFile(path, "a label; the server adopts it when it starts", label)


def _studies_of(path: Path, ids: Collection[str]) -> list[str]:
    """The ids that this label may be of. A stock MONAI Label knows the files directly in its folder only."""
    stock_id = path.name.removesuffix(".json")
    candidates = set(study_ids(PurePath(stock_id + suffix) for suffix in KINDS))
    if _UID.fullmatch(stock_id):
        # An archive's studies have one id for both. It knew no folders, such as one called p02.
        candidates.add(stock_id)
    return sorted(candidates & set(ids))


def _is_known(study: str, label: StudyLabel, labels: LabelFolder) -> bool:
    before = [saved.label for saved in labels.history(study, label.task)]
    before += [aside.label for aside in labels.conflicts(study)]
    return any(each.to_json() == label.to_json() for each in before)


def _log(report: StockReport) -> None:
    for saved in report.adopted:
        _logger.warning("the label of a stock MONAI Label was adopted as %s", saved.path)
    for file in (*report.set_aside, *report.not_adopted):
        _logger.warning("%s: %s", file.path, file.what)
