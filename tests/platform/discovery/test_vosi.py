"""What the service says of itself, read by the standards' own models and by pyvo."""

from __future__ import annotations

from pyvo.dal.sia2 import SIA2_STANDARD_ID
from vo_models.vosi.availability.models import Availability
from vo_models.vosi.capabilities.models import VOSICapabilities
from vo_models.vosi.tables.models import VOSITableSet

from tests.platform.discovery.world import Service

#: The columns that ObsCore 1.1 has every service have (table 1 of the recommendation).
MANDATORY = """
    dataproduct_type calib_level obs_collection obs_id obs_publisher_did access_url access_format access_estsize
    target_name s_ra s_dec s_fov s_region s_xel1 s_xel2 s_resolution t_min t_max t_exptime t_resolution t_xel
    em_min em_max em_res_power em_xel o_ucd pol_states pol_xel facility_name instrument_name
""".split()  # noqa: SIM905  -- thirty lines of list say no more


def test_obscore_has_all_of_its_columns_in_both_descriptions(service: Service) -> None:
    described = VOSITableSet.from_xml(service.get("tap/tables").content)
    schemas = {schema.schema_name: schema for schema in described.tableset_schema}
    [obscore] = schemas["ivoa"].table
    assert obscore.utype == "ivo://ivoa.net/std/ObsCore#core-1.1"
    names = [column.column_name for column in obscore.column]
    assert set(MANDATORY) <= set(names)
    listed = service.tap().search(
        "SELECT column_name, utype, std FROM tap_schema.columns WHERE table_name = 'ivoa.obscore' "
        "ORDER BY column_index"
    )
    assert list(listed["column_name"]) == names
    for row in listed:
        assert (row["std"] == 1) == (row["column_name"] in MANDATORY)
        assert row["utype"].startswith("obscore:") == (row["column_name"] in MANDATORY)


def test_every_column_that_is_described_can_be_asked_for(service: Service) -> None:
    tap = service.tap("token-of-tom")
    for table in tap.search("SELECT table_name FROM tap_schema.tables")["table_name"]:
        columns = tap.search(f"SELECT column_name FROM tap_schema.columns WHERE table_name = '{table}'")[
            "column_name"
        ]
        one = tap.search(f"SELECT TOP 2 {', '.join(columns)} FROM {table}")
        assert [name.lower() for name in one.fieldnames] == [column.strip('"') for column in columns]


def test_capabilities_name_the_standards(service: Service) -> None:
    tap = service.tap()
    VOSICapabilities.from_xml(service.get("tap/capabilities", token=None).content)
    access = tap.capabilities[0]
    assert access.standardid == "ivo://ivoa.net/std/TAP"
    assert [model.content for model in access.datamodels] == ["Obscore-1.1"]
    adql = access.get_adql()
    geometry = "ivo://ivoa.net/std/TAPRegExt#features-adqlgeo"
    assert {feature.form for feature in adql.get_feature_list(geometry)} >= {
        "POINT",
        "CIRCLE",
        "CONTAINS",
        "DISTANCE",
    }
    assert tap.upload_methods
    assert tap.hardlimit == service.settings.queries.most_rows
    sia = VOSICapabilities.from_xml(service.get("sia2/capabilities", token=None).content)
    assert str(sia.capability[0].standard_id).lower() == SIA2_STANDARD_ID.lower()


def test_availability_says_since_when(service: Service) -> None:
    answer = Availability.from_xml(service.get("tap/availability", token=None).content)
    assert answer.available
    assert str(answer.up_since).startswith("2027-07-01")


def test_the_examples_answer(service: Service) -> None:
    examples = service.tap().examples
    assert len(examples) >= 2
    for example in examples:
        # Not by itself: pyvo leaves the session's token out then.
        service.tap().search(example["QUERY"])
