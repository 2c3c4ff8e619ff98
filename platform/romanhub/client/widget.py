"""What a notebook shows of a cluster: its cost, its workers, and the two ways to change their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from romanhub.client.errors import RomanHubError

if TYPE_CHECKING:
    from romanhub.client.running import RomanHubCluster


def widget_of(cluster: RomanHubCluster) -> Any:
    """Return a widget that shows a cluster; None where the notebook has no widgets.

    It follows the cluster: `_cost_widget` and `_status_widget`, which the cluster then has, are kept up to date.
    """
    try:
        from ipywidgets import HTML, Accordion, Button, HBox, IntText, Layout, VBox
    except ImportError:
        return None
    narrow = Layout(width="150px")
    status = HTML(cluster._widget_status() or "", layout=Layout(min_width="150px"))
    cost = HTML(cluster._cost_html())
    said = HTML("")
    workers = IntText(0, description="Workers", layout=narrow)
    minimum, maximum = (IntText(0, description=text, layout=narrow) for text in ("Minimum", "Maximum"))
    scale, adapt = (Button(description=text, layout=narrow) for text in ("Scale", "Adapt"))
    accordion = Accordion(
        [HBox([workers, scale]), HBox([minimum, maximum, adapt])], layout=Layout(min_width="500px")
    )
    accordion.selected_index = None
    accordion.set_title(0, "Manual scaling")
    accordion.set_title(1, "Adaptive scaling")

    def when_clicked(act: Callable[[], object]) -> Callable[[object], None]:
        def clicked(_: object) -> None:
            try:
                act()
            except RomanHubError as error:
                said.value = str(error)
            else:
                said.value = ""

        return clicked

    scale.on_click(when_clicked(lambda: cluster.scale(workers.value)))
    adapt.on_click(when_clicked(lambda: cluster.adapt(minimum=minimum.value, maximum=maximum.value)))
    cluster._status_widget, cluster._cost_widget = status, cost
    title = HTML(f"<h3>Dask cluster</h3><p>{cluster.name}</p>")
    return VBox([title, cost, HBox([status, accordion]), said, HTML(cluster._link_html())])
