"""Python functions as the tools of a server: what a caller gives an agent when it loads a program.

The parameters come from the functions' annotations, the texts from their docstrings.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from lmc.runtime.remote import RemoteFailure, RemoteTool
from lmc.runtime.server_schemas import MOST_DOC, ports_of

if TYPE_CHECKING:
    from pydantic import BaseModel


class GivenTools:
    """Functions by their names. Arguments are validated by their annotations."""

    def __init__(self, functions: Sequence[Callable[..., Any]]) -> None:
        self.functions = {function.__name__: function for function in functions}
        self._models: dict[str, type[BaseModel]] = {}

    def listing(self) -> list[RemoteTool]:
        """The functions as tools. Raises: RemoteFailure for one that no schema can describe."""
        return [self._tool(name) for name in self.functions]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function. Raises: RemoteFailure, and whatever the function raises."""
        from pydantic import ValidationError

        if name not in self.functions:
            raise RemoteFailure(f"there is no function `{name}`")
        model = self._model(name)
        try:
            read = model.model_validate(dict(arguments))
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RemoteFailure(f"the argument `{place}`: {first['msg']}") from None
        given = {key: getattr(read, key) for key in read.model_fields_set}
        function = self.functions[name]
        if inspect.iscoroutinefunction(function):
            return await function(**given)
        value = await asyncio.to_thread(function, **given)
        return await value if inspect.isawaitable(value) else value

    def _tool(self, name: str) -> RemoteTool:
        schema = self._model(name).model_json_schema()
        schema.pop("title", None)
        doc = (inspect.getdoc(self.functions[name]) or "")[:MOST_DOC]
        return RemoteTool(name, doc, ports_of(schema), schema)

    def _model(self, name: str) -> type[BaseModel]:
        if name not in self._models:
            self._models[name] = _arguments_of(self.functions[name])
        return self._models[name]


def _arguments_of(function: Callable[..., Any]) -> type[BaseModel]:
    """A model of a function's parameters. Raises: RemoteFailure."""
    from pydantic import ConfigDict, create_model

    name = function.__name__
    try:
        hints = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
    except Exception as problem:
        raise RemoteFailure(f"the annotations of `{name}` cannot be read: {problem}") from None
    fields: dict[str, Any] = {}
    for key, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise RemoteFailure(f"`{name}` takes `*{key}`, which no model can fill in")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[key] = (hints.get(key, Any), default)
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except Exception as problem:
        raise RemoteFailure(f"the parameters of `{name}` have no schema: {problem}") from None
