"""Make the mosaic: flux scale, background and drizzle, with the calibration pipeline's own steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from romanhub.sample.plan import Mosaic
from romanhub.sample.references import work_offline


def make_mosaic(plan: Mosaic, exposures: Sequence[Path]) -> Any:
    """Return the MosaicModel of the Level 2 files given, which must not be empty.

    North is up. The image covers all that the exposures cover, in MJy/sr with the background taken
    off; where no exposure reaches it is not-a-number. Raises ValueError without exposures.
    """
    if not exposures:
        raise ValueError(f"The mosaic {plan.name} has no exposures: none of its filter sees its centre.")
    work_offline()
    from roman_datamodels import datamodels
    from romancal.datamodels import ModelLibrary
    from romancal.flux import FluxStep
    from romancal.resample import ResampleStep
    from romancal.skymatch import SkyMatchStep

    library = ModelLibrary([datamodels.open(path) for path in exposures])
    library = FluxStep.call(library)
    library = SkyMatchStep.call(library, skymethod="global+match", subtract=True)
    mosaic = ResampleStep.call(library, rotation=0.0, pixel_scale=plan.pixel_scale)
    mosaic.meta.filename = f"{plan.name}.asdf"
    mosaic.meta.product_type = "l3"
    mosaic.meta.association.name = plan.name
    # The steps' logs hold the times and the settings of the machine that ran them.
    mosaic.meta.cal_logs = []
    return mosaic
