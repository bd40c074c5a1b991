"""The heat maps of ``vpt classify --explain``: a folder with one file per study and finding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from vpt_plugin.cli.report import short_names
from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpt_plugin.ct.volume import Volume
    from vpt_plugin.inference import Prediction, Predictor

_STUDY_SUFFIX = re.compile(r"\.(nii\.gz|tar\.gz|nii|nrrd|mha|zip|tar|tgz|dcm|vptct)$", re.IGNORECASE)
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class HeatMapFolder:
    """Where heat maps are written.

    Args:
        folder: need not be there.
        studies: all that there will be; maps are called after them.
        findings: of which there will be maps.

    Raises:
        ConfigurationError: one of the maps is there already, for an answer of another version or day.
    """

    def __init__(self, folder: Path, studies: Sequence[Path], findings: Sequence[str]) -> None:
        self.folder = folder
        self._names = dict(zip(studies, _file_names(studies), strict=True))
        for study in studies:
            for finding in findings:
                if self._path(study, finding).exists():
                    raise ConfigurationError(
                        f"the heat map {self._path(study, finding)} is there already;",
                        "choose another folder, or remove it.",
                    )

    def _path(self, study: Path, finding: str) -> Path:
        return self.folder / f"{self._names[study]}.{finding}.nii.gz"

    def explained(
        self,
        study: Path,
        volume: Volume,
        prediction: Prediction,
        predictor: Predictor,
        *,
        cancelled: Callable[[], bool],
    ) -> Prediction:
        """The answer for a study with its heat maps, which are then in the folder.

        Raises:
            VptError: as ``Predictor.explain``.
            OSError: a map cannot be written.
        """
        began = perf_counter()
        maps = predictor.explain(volume, cancelled=cancelled)
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = []
        for each in maps:
            path = self._path(study, each.finding)
            each.write_nifti(path)
            facts.append(each.facts(str(path)))
        return prediction.explained(maps[0].method, facts, perf_counter() - began)


def _file_names(studies: Sequence[Path]) -> list[str]:
    """A name for every study's files: its own, with what tells it from the others; no two are the same."""
    names: list[str] = []
    for short in short_names([str(study) for study in studies]):
        plain = _NO_FILE_NAME.sub("_", _STUDY_SUFFIX.sub("", short)).strip("._") or "study"
        taken = {name.lower() for name in names}
        numbered = (f"{plain}-{number}" for number in range(2, len(studies) + 2))
        names.append(next(each for each in (plain, *numbered) if each.lower() not in taken))
    return names
