"""A chest CT to try the module with, in Slicer's Sample Data."""

from __future__ import annotations

from pathlib import Path

CATEGORY = "VPTCT"
# Slicer's own CTChest, from where Slicer has it; its name there is its checksum.
SHA256 = "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"
ADDRESS = f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{SHA256}"


def register_sample_data(icons: Path) -> None:
    """Offer it in File > Download Sample Data; to be called when Slicer has started.

    Args:
        icons: the folder of the module's icons.
    """
    # Slicer's module, which is there only when all modules are.
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName="Chest CT for VPTCT",
        thumbnailFileName=str(icons / "ChestCT.png"),
        uris=ADDRESS,
        fileNames="CT-chest.nrrd",
        checksums=f"SHA256:{SHA256}",
        nodeNames="Chest CT",
    )
