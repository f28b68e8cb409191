"""The layouts by name, and the templates of modules."""

from __future__ import annotations

from collections.abc import Mapping

from lmc.diagnostics import LmcError, suggestion
from lmc.prompts.chat import ChatLayout
from lmc.prompts.json_layout import JsonLayout
from lmc.prompts.spec import Layout
from lmc.prompts.xml import XmlLayout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (ChatLayout(), JsonLayout(), XmlLayout())
}


def layout_for(name: str = "chat", template: Mapping[str, str] | None = None) -> Layout:
    """Find a layout. With a template (`system`, `user`), the layout only reads the answers.

    Raises: LmcError[unknown-layout], LmcError[bad-template].
    """
    if name not in LAYOUTS:
        help = suggestion(name, LAYOUTS, f"the layouts are {', '.join(LAYOUTS)}")
        raise LmcError.of("unknown-layout", f"no layout is called `{name}`", help=help)
    if not template:
        return LAYOUTS[name]
    from lmc.prompts.template import TemplateLayout

    return TemplateLayout(LAYOUTS[name], template)
