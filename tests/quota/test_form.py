from __future__ import annotations

from decimal import Decimal
from html.parser import HTMLParser

from hubquota.hub.form import Payer, size_form, trouble_form, wanted_size
from hubquota.models.ledger import Balance
from hubquota.models.money import to_units
from hubquota.services.tiersfile import parse_tiers

from tests.quota.support import HERE

TEXT = (HERE / "hub_tiers.yaml").read_text()
TIERS = parse_tiers(TEXT, name="tiers.yaml")


class Page(HTMLParser):
    """Notes the tags, and fails on those that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "input":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def balance(posted: str, accrued: str = "0") -> Balance:
    return Balance(posted=to_units(posted), accrued=to_units(accrued), set_aside=0)


def test_every_choice_has_its_label_and_one_is_made() -> None:
    page = Page(size_form(TIERS, [Payer("ada", "explorer", balance("81"))]))
    radios = page.all("input")
    assert [radio["value"] for radio in radios] == ["small", "medium"]
    assert {radio["name"] for radio in radios} == {"size"}
    assert [radio["id"] for radio in radios] == [label["for"] for label in page.all("label")]
    assert ["checked" in radio for radio in radios] == [False, True]
    assert len(page.all("fieldset")) == len(page.all("legend")) == 1


def test_the_form_brings_nothing_from_elsewhere() -> None:
    page = Page(size_form(TIERS, [Payer("ada", "explorer", balance("81"))]))
    assert not {"script", "link", "style", "img"} & {tag for tag, _ in page.tags}
    assert not any({"src", "style", "onclick"} & set(attributes) for _, attributes in page.tags)


def test_a_choice_out_of_reach_says_why_to_a_screen_reader_too() -> None:
    page = Page(size_form(TIERS, [Payer("ada", "explorer", balance("0.01"))]))
    small, medium = page.all("input")
    assert "disabled" in medium
    assert medium["aria-describedby"] in {attributes.get("id") for attributes in page.all("div")}
    assert "checked" in small


def test_what_runs_now_is_taken_off() -> None:
    page = Page(size_form(TIERS, [Payer("ada", "explorer", balance("81", accrued="1.5"))]))
    assert "79.50 credits available (81.00 on the account, 1.50 of it taken by what runs now)" in page.text


def test_names_and_sentences_from_the_file_stay_text() -> None:
    hostile = TEXT.replace("title: Medium", "title: <script>x</script>").replace(
        "title: Explorer", "title: A & <b>"
    )
    page = Page(size_form(parse_tiers(hostile, name="tiers.yaml"), [Payer("ada", "explorer", balance("0"))]))
    assert not page.all("script")
    assert not page.all("b")
    assert "<script>x</script>" in page.text


def test_trouble_is_told_in_place_of_the_choice() -> None:
    page = Page(trouble_form("The accounts <cannot> be read."))
    assert "The accounts <cannot> be read." in page.text
    assert not page.all("input")
    assert page.all("div")[1]["role"] == "alert"


def test_several_accounts_are_a_choice_of_their_own_and_one_that_can_pay_is_made() -> None:
    payers = [Payer("ada", "poor", balance("0")), Payer("survey <1>", "explorer", balance("81"))]
    page = Page(size_form(TIERS, payers))
    accounts = [radio for radio in page.all("input") if radio["name"] == "account"]
    sizes = [radio for radio in page.all("input") if radio["name"] == "size"]
    assert [(radio["value"], "checked" in radio) for radio in accounts] == [("ada", False), ("survey <1>", True)]
    assert {radio["id"] for radio in page.all("input")} == {label["for"] for label in page.all("label")}
    assert not any("disabled" in radio for radio in sizes)
    assert "survey <1>, tier Explorer: 81.00 credits available" in page.text
    assert "0.15 credits an hour, survey <1>: about 540 hours left" in page.text


def test_what_is_chosen_in_grace_can_be_started() -> None:
    free = {"small": TIERS.sizes["small"].model_copy(update={"price": Decimal(0)})}
    ada = Payer("ada", "explorer", balance("0"), free, "The last term of ada is over.")

    def chosen(*payers: Payer) -> tuple[list[str | None], str]:
        page = Page(size_form(TIERS, payers))
        return [radio["value"] for radio in page.all("input") if "checked" in radio], page.text

    (size,), text = chosen(ada)
    assert size == "small"
    assert "Small, 1 core, 4 GB: free of charge" in text
    # The project is what is worked on. Of a size that costs nothing here and something there, each is said.
    found, text = chosen(ada, Payer("survey", "explorer", balance("7")))
    assert found == ["survey", "medium"]
    assert "ada: clean-up, free of charge; survey: 0.04 credits an hour, about 175 hours left" in text
    # Where the project has nothing left, the clean-up server is what can be started.
    assert chosen(ada, Payer("survey", "explorer", balance("0")))[0] == ["ada", "small"]


def test_one_account_is_no_choice() -> None:
    page = Page(size_form(TIERS, [Payer("ada", "explorer", balance("81"))]))
    assert {radio["name"] for radio in page.all("input")} == {"size"}


def test_a_link_into_a_server_can_have_chosen_a_size_that_is_within_reach() -> None:
    def chosen(address: str) -> list[str | None]:
        form = size_form(TIERS, [Payer("ada", "explorer", balance("81"))], wanted=wanted_size(address))
        return [radio["value"] for radio in Page(form).all("input") if "checked" in radio]

    assert chosen("/user/ada/romanhub/copy?entry=depth&version=1&size=small") == ["small"]
    assert chosen("/user/ada/romanhub/copy?entry=depth&size=huge") == ["medium"], "out of reach"
    assert chosen("/user/ada/lab") == chosen("") == ["medium"]
