"""The archive's images as ObsCore 1.1 has them (table 5 of the recommendation), and in plain words."""

from __future__ import annotations

from typing import Any

from romanhub.discovery.tables import Column, Entry, Kind

#: What comes before a name in an image's identifier, an IVOID of the form of ObsCore's section 4.3.
PUBLISHER_ID = "ivo://romanhub/archive?"

#: Where what an address of a table begins with is put in: stores know nothing of the hub's address.
BASE_URL = "{base}"

#: The wavelengths, in metres, between which each of Roman's optical elements passes light: the table "WFI imaging
#: and spectroscopy elements" of the Roman Space Telescope's Wide Field Instrument reference information (GSFC).
BANDS: dict[str, tuple[float, float]] = {
    "F062": (0.480e-6, 0.760e-6),
    "F087": (0.760e-6, 0.977e-6),
    "F106": (0.927e-6, 1.192e-6),
    "F129": (1.131e-6, 1.454e-6),
    "F146": (0.927e-6, 2.000e-6),
    "F158": (1.380e-6, 1.774e-6),
    "F184": (1.683e-6, 2.000e-6),
    "F213": (1.950e-6, 2.300e-6),
    "GRISM": (1.000e-6, 1.930e-6),
    "PRISM": (0.750e-6, 1.800e-6),
}

DATALINK_FORMAT = "application/x-votable+xml;content=datalink"

# name, kind, unit, UCD, utype (without "obscore:"), description
_STANDARD: tuple[tuple[str, Kind, str, str, str, str], ...] = (
    ("dataproduct_type", "text", "", "meta.code.class", "ObsDataset.dataProductType", "Always image."),
    ("calib_level", "int", "", "meta.code;obs.calib", "ObsDataset.calibLevel", "2: calibrated; 3: a mosaic."),
    ("obs_collection", "text", "", "meta.id", "DataID.collection", "The name of the data set."),
    ("obs_id", "text", "", "meta.id", "DataID.observationID", "The image's name in the archive."),
    (
        "obs_publisher_did",
        "text",
        "",
        "meta.ref.ivoid",
        "Curation.publisherDID",
        "The image's identifier; its name follows the question mark.",
    ),
    ("access_url", "text", "", "meta.ref.url", "Access.reference", "Says how to open the image (DataLink)."),
    ("access_format", "text", "", "meta.code.mime", "Access.format", "What access_url answers with."),
    ("access_estsize", "long", "kbyte", "phys.size;meta.file", "Access.size", "The size of the image's file."),
    ("target_name", "text", "", "meta.id;src", "Target.name", "Nothing: surveys have no targets."),
    (
        "s_ra",
        "double",
        "deg",
        "pos.eq.ra",
        "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1",
        "Right ascension of the footprint's centre, ICRS.",
    ),
    (
        "s_dec",
        "double",
        "deg",
        "pos.eq.dec",
        "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2",
        "Declination of the footprint's centre, ICRS.",
    ),
    (
        "s_fov",
        "double",
        "deg",
        "phys.angSize;instr.fov",
        "Char.SpatialAxis.Coverage.Bounds.Extent.diameter",
        "The diameter of a circle around the footprint.",
    ),
    (
        "s_region",
        "text",
        "",
        "pos.outline;obs.field",
        "Char.SpatialAxis.Coverage.Support.Area",
        "The footprint; its edges are great circles.",
    ),
    ("s_xel1", "long", "", "meta.number", "Char.SpatialAxis.numBins1", "Columns of pixels."),
    ("s_xel2", "long", "", "meta.number", "Char.SpatialAxis.numBins2", "Rows of pixels."),
    (
        "s_resolution",
        "double",
        "arcsec",
        "pos.angResolution",
        "Char.SpatialAxis.Resolution.Refval.value",
        "Not known for single images.",
    ),
    (
        "t_min",
        "double",
        "d",
        "time.start;obs.exposure",
        "Char.TimeAxis.Coverage.Bounds.Limits.StartTime",
        "MJD, UTC.",
    ),
    (
        "t_max",
        "double",
        "d",
        "time.end;obs.exposure",
        "Char.TimeAxis.Coverage.Bounds.Limits.StopTime",
        "MJD, UTC.",
    ),
    (
        "t_exptime",
        "double",
        "s",
        "time.duration;obs.exposure",
        "Char.TimeAxis.Coverage.Support.Extent",
        "The time of exposure.",
    ),
    ("t_resolution", "double", "s", "time.resolution", "Char.TimeAxis.Resolution.Refval.value", "As t_exptime."),
    ("t_xel", "long", "", "meta.number", "Char.TimeAxis.numBins", "Always 1."),
    (
        "em_min",
        "double",
        "m",
        "em.wl;stat.min",
        "Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit",
        "Shortest wavelength.",
    ),
    (
        "em_max",
        "double",
        "m",
        "em.wl;stat.max",
        "Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit",
        "Longest wavelength.",
    ),
    (
        "em_res_power",
        "double",
        "",
        "spect.resolution",
        "Char.SpectralAxis.Resolution.ResolPower.refVal",
        "The middle of the band by its width.",
    ),
    ("em_xel", "long", "", "meta.number", "Char.SpectralAxis.numBins", "Always 1."),
    ("o_ucd", "text", "", "meta.ucd", "Char.ObservableAxis.ucd", "What a pixel's value is."),
    ("pol_states", "text", "", "meta.code;phys.polarization", "Char.PolarizationAxis.stateList", "Nothing."),
    ("pol_xel", "long", "", "meta.number", "Char.PolarizationAxis.numBins", "Always 0."),
    (
        "facility_name",
        "text",
        "",
        "meta.id;instr.tel",
        "Provenance.ObsConfig.Facility.name",
        "The telescope, or the survey.",
    ),
    ("instrument_name", "text", "", "meta.id;instr", "Provenance.ObsConfig.Instrument.name", "The instrument."),
)

#: What a reader of the platform wants besides, in both tables.
_OWN = (
    Column(name="dataset", kind="text", ucd="meta.id", description="The data set, as datasets.yaml names it."),
    Column(name="name", kind="text", ucd="meta.id;meta.main", description="What romanhub.archive.open() takes."),
    Column(
        name="optical_element", kind="text", ucd="meta.id;instr.filter", description="The filter, such as F158."
    ),
    Column(name="detector", kind="text", ucd="meta.id;instr.det", description="Such as WFI01; none for a mosaic."),
)


def obscore_table(classes: tuple[int, ...], rows: int) -> Entry:
    """Return ivoa.obscore over the store's images."""
    standard = tuple(
        Column(
            name=name,
            kind=kind,
            unit=unit,
            ucd=ucd,
            utype=f"obscore:{utype}",
            xtype="adql:REGION" if name == "s_region" else "",
            description=description,
            std=True,
            indexed=name in ("s_ra", "s_dec", "s_region"),
        )
        for name, kind, unit, ucd, utype, description in _STANDARD
    )
    return Entry(
        db="ivoa",
        name="obscore",
        description="Every image of the archive that you may read (ObsCore 1.1).",
        stored="images",
        columns=(*standard, *_OWN),
        ra="s_ra",
        dec="s_dec",
        region="s_region",
        cells="images",
        classes=classes,
        rows=rows,
        utype="ivo://ivoa.net/std/ObsCore#core-1.1",
    )


def images_table(classes: tuple[int, ...], rows: int) -> Entry:
    """Return roman.images over the same rows."""
    dataset, name, element, detector = _OWN
    return Entry(
        db="roman",
        name="images",
        description="Every image of the archive that you may read, in plain words.",
        stored="images",
        columns=(
            name,
            dataset,
            Column(name="level", kind="int", source="calib_level", description="2: an exposure; 3: a mosaic."),
            element,
            detector,
            Column(
                name="start",
                kind="timestamp",
                ucd="time.start;obs.exposure",
                xtype="timestamp",
                description="When the exposure started, or the first of a mosaic's, UTC.",
            ),
            Column(name="t_start", kind="double", unit="d", source="t_min", description="The same as MJD, UTC."),
            Column(name="exposure_time", kind="double", unit="s", source="t_exptime", description="In seconds."),
            Column(
                name="ra",
                kind="double",
                unit="deg",
                ucd="pos.eq.ra;meta.main",
                source="s_ra",
                indexed=True,
                description="Right ascension of the footprint's centre, ICRS.",
            ),
            Column(
                name="dec",
                kind="double",
                unit="deg",
                ucd="pos.eq.dec;meta.main",
                source="s_dec",
                indexed=True,
                description="Declination of the footprint's centre, ICRS.",
            ),
            Column(
                name="s_region",
                kind="text",
                ucd="pos.outline;obs.field",
                xtype="adql:REGION",
                indexed=True,
                description="The footprint; its edges are great circles.",
            ),
            Column(name="rows", kind="long", source="s_xel2", description="Rows of pixels."),
            Column(name="columns", kind="long", source="s_xel1", description="Columns of pixels."),
            Column(name="size", kind="long", unit="byte", source="size_bytes", description="The file's size."),
            Column(name="sha256", kind="text", description="The file's checksum.", principal=False),
        ),
        ra="ra",
        dec="dec",
        region="s_region",
        cells="images",
        classes=classes,
        rows=rows,
    )


def plain(columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    """Return columns as JSON has them."""
    return [
        {"name": one.name, "type": one.kind, "unit": one.unit, "ucd": one.ucd, "description": one.description}
        for one in columns
    ]
