"""Simulate one exposure: sources and sky through the detector to a calibrated Level 2 image."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from romanhub.sample.cut import cut, sky_region, window_wcs
from romanhub.sample.plan import DETECTOR_PIXELS, Exposure
from romanhub.sample.references import distortion, point_spread

#: How many pixels beside a window are simulated with it: longer than 99 in 100 cosmic rays' tracks.
_MARGIN = 64

#: Sources this many pixels off the simulated image are still drawn, for the sake of their wings.
_WINGS = 100

#: The angle from the telescope's V3 axis to the detectors' ideal y axis, degrees, from the Roman SIAF.
_V3_TO_IDEAL_Y = -60.0

_DONE = ("assign_wcs", "dark", "photom", "ramp_fit", "saturation")
_TO_COME = ("flux", "outlier_detection", "skymatch", "source_catalog", "tweakreg")


def _metadata(exposure: Exposure) -> Any:
    """Return a Level 2 image's metadata, filled in as far as the plan decides it."""
    import romanisim
    from astropy import units as u
    from astropy.coordinates import get_body_barycentric_posvel
    from astropy.time import Time
    from roman_datamodels.datamodels import ImageModel
    from romanisim import util
    from romanisim.models import parameters

    start = Time(exposure.start, format="datetime", scale="utc")
    start.format = "isot"
    visit_start = Time(exposure.visit_start, format="datetime", scale="utc")
    visit_start.format = "isot"
    meta = ImageModel.create_fake_data().meta
    meta.filename = f"{exposure.name}.asdf"
    meta.product_type = "l2"
    meta.origin = "STSCI"
    meta.calibration_software_name = "RomanCAL"
    meta.calibration_software_version = f"romanisim {romanisim.__version__}"
    meta.sdf_software_version = "simulated"
    meta.prd_version = "simulated"
    meta.instrument.detector = exposure.detector
    meta.instrument.optical_element = exposure.optical_element
    meta.exposure.start_time = start
    meta.exposure.type = "WFI_IMAGE"
    meta.exposure.ma_table_number = exposure.ma_table
    meta.exposure.ma_table_name = f"IM_{exposure.ma_table:02d}"
    meta.exposure.read_pattern = deepcopy(parameters.read_pattern[exposure.ma_table])
    meta.exposure.nresultants = len(meta.exposure.read_pattern)
    meta.exposure.engineering_quality = "OK"
    meta.exposure.data_problem = "None"
    meta.visit.start_time = visit_start
    meta.visit.type = "PRIME_TARGETED_FIXED"
    meta.visit.nexposures = exposure.exposures_in_visit
    meta.visit.dither.primary_name = "SAMPLE"
    meta.visit.dither.subpixel_name = "NONE"
    meta.visit.dither.executed_pattern = list(exposure.dither)
    meta.program.title = "A simulated sample of a Roman archive"
    meta.program.investigator_name = "Simulated"
    meta.program.category = "GAS"
    meta.program.subcategory = "None"
    meta.program.science_category = "Galaxies"
    meta.guide_star.guide_window_id = f"{exposure.visit_id}1"
    meta.guide_star.guide_mode = "WIM-TRACK"
    meta.guide_star.guide_star_id = "simulated"
    meta.guide_star.epoch = "2016.0"
    meta.guide_star.window_xstart = meta.guide_star.window_ystart = 2000

    seen = meta.observation
    seen.program = exposure.program
    seen.execution_plan = exposure.execution_plan
    seen["pass"] = exposure.pass_number
    seen.segment = exposure.segment
    seen.observation = exposure.observation
    seen.visit = exposure.visit
    seen.exposure = exposure.exposure
    seen.visit_file_group = 2
    seen.visit_file_sequence = 1
    seen.visit_file_activity = "01"
    seen.visit_id = exposure.visit_id
    seen.observation_id = f"{exposure.visit_id}02101{exposure.exposure:04d}"

    place, velocity = get_body_barycentric_posvel("earth", start)
    meta.ephemeris.type = "PREDICTED"
    meta.ephemeris.ephemeris_reference_frame = "EME2000"
    meta.ephemeris.time = start.mjd
    for name, component in zip("xyz", place.xyz.to_value(u.km), strict=True):
        meta.ephemeris[f"spatial_{name}"] = float(component)
    for name, component in zip("xyz", velocity.xyz.to_value(u.km / u.s), strict=True):
        meta.ephemeris[f"velocity_{name}"] = float(component)
    meta.velocity_aberration.scale_factor = float(
        util.calc_scale_factor(start, exposure.target.ra, exposure.target.dec)
    )
    util.add_more_metadata(meta)
    return meta


def _pointing_wcs(exposure: Exposure, meta: Any) -> Any:
    """Return the coordinate system that puts the target at the detector's centre, and note it in meta."""
    from astropy.coordinates import SkyCoord
    from romanisim import util
    from romanisim.models import wcs

    transform = distortion(exposure.detector)
    middle = (DETECTOR_PIXELS - 1) / 2
    v2, v3 = (float(value) for value in transform(middle, middle))
    coordinates = wcs.make_wcs(
        SkyCoord(exposure.target.ra, exposure.target.dec, unit="deg"),
        transform,
        roll_ref=exposure.position_angle - _V3_TO_IDEAL_Y,
        v2_ref=v2,
        v3_ref=v3,
        scale_factor=meta.velocity_aberration.scale_factor,
    )
    edges = (-0.5, DETECTOR_PIXELS - 0.5)
    coordinates.bounding_box = (edges, edges)
    meta.pointing.target_ra = exposure.target.ra
    meta.pointing.target_dec = exposure.target.dec
    meta.pointing.target_aperture = f"{exposure.detector}_FULL"
    meta.pointing.pa_aperture = exposure.position_angle
    meta.pointing.pointing_engineering_source = "PLANNED"
    meta.wcsinfo.v3yangle = _V3_TO_IDEAL_Y
    meta.wcsinfo.vparity = -1
    util.update_pointing_and_wcsinfo_metadata(meta, coordinates)
    return wcs.GWCS(coordinates)


def _electrons(exposure: Exposure, meta: Any, scene: Any, side: int, rng: Any, imwcs: Any) -> Any:
    """Return the electrons that the detector's central `side` by `side` pixels collect.

    The result is a galsim image whose bounds are the detector's own pixel numbers.
    """
    import galsim
    from romanisim import catalog, image
    from romanisim.models import backgrounds, parameters
    from romanisim.models.bandpass import get_abflux, getBandpasses, roman2galsim_bandpass

    element = exposure.optical_element
    name = roman2galsim_bandpass[element]
    bandpass = getBandpasses(AB_zeropoint=True, include_all_bands=True)[name]
    corner = (DETECTOR_PIXELS - side) // 2
    counts = galsim.ImageF(side, side, wcs=imwcs, xmin=corner, ymin=corner)
    level = backgrounds.getSkyLevel(
        bandpass,
        world_pos=imwcs.toWorld(counts.true_center),
        date=exposure.start.replace(tzinfo=None),
        exptime=1,
    )
    level *= 1 + parameters.stray_light_fraction
    sky = counts * 0
    imwcs.makeSkyImage(sky, level)
    area = sky.array / level
    sky += backgrounds.thermal_backgrounds[name]

    x, y = imwcs._xy(np.radians(np.asarray(scene["ra"])), np.radians(np.asarray(scene["dec"])))
    middle = (DETECTOR_PIXELS - 1) / 2
    reach = side / 2 + _WINGS
    near = (np.abs(x - middle) < reach) & (np.abs(y - middle) < reach)
    image.simulate_counts_generic(
        counts,
        meta.exposure.frame_time * meta.exposure.read_pattern[-1][-1],
        objlist=catalog.table_to_catalog(scene[near], [element]),
        xpos=x[near],
        ypos=y[near],
        psf=point_spread(exposure.detector, element, imwcs),
        zpflux=get_abflux(element, int(exposure.detector[3:])),
        sky=sky,
        dark=parameters.reference_data["dark"],
        qe=image.flat_to_qe(1, parameters.reference_data["gain"], area=area),
        bandpass=bandpass,
        filter_name=element,
        ignore_distant_sources=_WINGS,
        rng=rng,
    )
    return counts


def simulate(exposure: Exposure, scene: Any, *, seed: int, size: int = DETECTOR_PIXELS) -> Any:
    """Return the simulated exposure, the detector's central `size` by `size` pixels, as an ImageModel.

    `scene` is the table that `scene.make_scene` returns, `seed` the seed of this exposure's noise: the
    same arguments give the same pixels. Units of the image are DN/s. Cosmic rays, read noise,
    interpixel capacitance and saturation are simulated; flat field and non-linearity are taken to be
    perfect. A window is simulated with a margin and cut out of it, so that what happens beside it
    (a source's wings, a cosmic ray, a neighbouring pixel's charge) reaches into it as it would in the
    whole detector's image.
    """
    import galsim
    from roman_datamodels.datamodels import ImageModel
    from roman_datamodels.dqflags import pixel
    from romanisim import image, l1, util
    from romanisim.models import parameters
    from romanisim.persistence import Persistence

    rng = galsim.UniformDeviate(seed)
    meta = _metadata(exposure)
    imwcs = _pointing_wcs(exposure, meta)
    side = min(size + 2 * _MARGIN, DETECTOR_PIXELS)
    corner = (DETECTOR_PIXELS - side) // 2
    counts = _electrons(exposure, meta, scene, side, rng, imwcs)
    pattern = meta.exposure.read_pattern
    resultants, flags = l1.make_l1(
        counts, pattern, rng=rng, crparam={}, persistence=Persistence(), tstart=meta.exposure.start_time
    )
    slope, read_variance, poisson_variance = image.make_l2(
        resultants, pattern, dq=flags, darkrate=parameters.reference_data["dark"]
    )
    tree, _ = image.make_asdf(
        slope,
        read_variance,
        poisson_variance,
        metadata=meta,
        dq=np.bitwise_or.reduce(flags, axis=0),
    )
    model = ImageModel(tree)
    model.meta.wcs = window_wcs(imwcs.wcs, left=corner, top=corner, size=side)
    model.meta.wcsinfo.s_region = sky_region(model.meta.wcs, (side, side))
    util.update_photom_keywords(model)
    model.var_rnoise = read_variance.astype(np.float16)
    # The ramp fit used here returns neither of these two; not-a-number says so.
    model.chisq = np.full(slope.shape, np.nan, dtype=np.float16)
    model.dumo = np.full(slope.shape, np.nan, dtype=np.float16)
    # A ramp with fewer than two good resultants has no slope, so nothing after may use the pixel.
    lost = ~np.isfinite(slope) | ~np.isfinite(model.err) | (model.err <= 0)
    model.dq[lost] |= np.uint32(pixel.DO_NOT_USE)
    for step in model.meta.cal_step:
        state = "COMPLETE" if step in _DONE else "INCOMPLETE" if step in _TO_COME else "SKIPPED"
        model.meta.cal_step[step] = state
    return model if side == size else cut(model, size)
