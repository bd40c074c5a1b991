"""``vpt report``: the answer for a study as a DICOM structured report, in a file or in an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import print_or_write, require_new
from vpt_plugin.cli.opened_studies import opened_studies, required
from vpt_plugin.cli.options import (
    BackendOption,
    DeviceOption,
    ErrorRateOption,
    ModelOption,
    ModelsDirOption,
    PrecisionOption,
    TaskFileOption,
    TaskOption,
    UnsuitableOption,
    choose_task,
)
from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from vpt_plugin.inference import Prediction, Predictor
    from vpt_plugin.store.archive import ArchiveAddress
    from vpt_plugin.store.source import OpenedStudy


def report(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A DICOM folder, .zip, .tar.gz or file; with --studies, the id of a study there, which in "
            "an archive is a SeriesInstanceUID.",
            show_default=False,
        ),
    ],
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to this new file.", show_default=False),
    ] = None,
    send: Annotated[
        str | None,
        typer.Option(
            "--send", metavar="URL", help="Store it in the DICOM archive at this address.", show_default=False
        ),
    ] = None,
    studies: Annotated[
        str | None,
        typer.Option(
            "--studies",
            metavar="FOLDER",
            help="Where STUDY is an id: a folder of studies, or the address of a DICOM archive.",
            show_default=False,
        ),
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    version: Annotated[
        int | None,
        typer.Option(
            "--version", help="A version of the model; by default the one that is served.", show_default=False
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            "--series",
            metavar="UID",
            help="The SeriesInstanceUID to read; by default the one that suits best.",
            show_default=False,
        ),
    ] = None,
    error_rate: ErrorRateOption = 0.1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    backend: BackendOption = "torch",
    unsuitable: UnsuitableOption = "refuse",
) -> None:
    """Answer for one DICOM study and write the answer as a structured report.

    The report is DICOM (Comprehensive SR, template TID 1500): the finding coded, its probability, the
    decision, the slices that speak for it, which version of which model said so, and that it is not for
    clinical use. The same answer of the same version is the same instance: sent twice, it is in the archive
    once. So that it is the same everywhere, it is computed in float32 by torch unless asked otherwise: other
    ways move the probability's third digit, and that would be another report.

    An archive's login comes from the same environment variables as the server's, see docs/archive.md.

    \b
    Examples:
      vpt report ct_folder/ --task nodule --model tiny -o report.dcm
      vpt report SERIES_UID --studies http://localhost:8042/dicom-web --task pe \\
          --send http://localhost:8042/dicom-web
    """
    if output is None and send is None:
        raise ConfigurationError("nowhere to put the report;", "give a file with -o, an archive with --send.")
    from vpt_plugin.dicom_report.report import file_bytes
    from vpt_plugin.inference import Predictor
    from vpt_plugin.store.archive import ArchiveAddress
    from vpt_plugin.training.model_store import ModelStore

    # Before minutes are spent on the answer.
    address = None if send is None else ArchiveAddress.parse(send, option="--send")
    if output is not None:
        require_new(output)
    reading_task = choose_task(task, task_file)
    store = ModelStore(models_dir)
    classifier, card = store.load(reading_task, model, version)
    predictor = Predictor(
        classifier, reading_task, card,
        device=device, precision=precision, backend=backend, unsuitable=unsuitable,
        reference=store.reference(card), error_rate=error_rate,
    )  # fmt: skip
    with _opened(study, studies) as opened:
        prediction, made = _report(study, opened, series, predictor)
    typer.echo(_in_words(prediction))
    if address is not None:
        # What the archive has already is of an earlier day; the file is to be a copy of that.
        made = _send(made, address)
    if output is not None:
        print_or_write(file_bytes(made), output)
        typer.echo(f"{output}: report {made.SOPInstanceUID}")
    typer.echo("For research only; not a medical device.")


@contextmanager
def _opened(study: str, studies: str | None) -> Iterator[OpenedStudy]:
    """The study on this computer."""
    from vpt_plugin.store.source import OpenedStudy

    if studies is None:
        yield OpenedStudy(Path(study))
        return
    with (
        opened_studies(studies, None, {}) as (source, _labels),
        source.opened(required(source, study)) as opened,
    ):
        yield opened


def _report(
    study: str, opened: OpenedStudy, series: str | None, predictor: Predictor
) -> tuple[Prediction, Dataset]:
    from vpt_plugin.ct.reduced import read_reduced
    from vpt_plugin.dicom_report import read_source, report_of

    # First what it is about: of a study that no report can refer to nobody waits for an answer.
    source = read_source(opened.path, name=study, series_uid=series)
    reduced = read_reduced(
        opened.path, pixels=predictor.spec.resize_px, name=study, series_uid=source.series_uid
    )
    prediction = predictor.predict(reduced).for_question(0.0, opened.notes)
    return prediction, report_of(prediction, source, predictor.task)


def _in_words(prediction: Prediction) -> str:
    """What the report says, for whoever is about to have it in an archive."""
    said = [
        f"{each.name} {each.probability:.3f}, {each.decision}"
        + (
            f" ({each.conformal.decision} at an error rate of {each.conformal.error_rate:g})"
            if each.conformal
            else ""
        )
        for each in prediction.findings
    ]
    suits = f"the study: {prediction.suitability.verdict}" if prediction.suitability else ""
    return "; ".join(filter(None, [*said, suits]))


def _send(made: Dataset, address: ArchiveAddress) -> Dataset:
    """The report as the archive has it now."""
    from vpt_plugin.dicom_report import send_report
    from vpt_plugin.store.archive import Credentials
    from vpt_plugin.store.archive.client import ArchiveClient

    with ArchiveClient(address, Credentials.from_environment(os.environ)) as archive:
        sent = send_report(made, archive)
    done = "lay there before, nothing was sent" if sent.already_there else "stored and read back"
    typer.echo(f"{address.host}: report {sent.uid} ({done})")
    return sent.report
