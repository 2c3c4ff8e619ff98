"""The asdf extension that puts lazy arrays into a tree, and the one with which such a tree is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asdf
import numpy as np
from asdf.extension import Converter, Extension

from romanhub.asdf_blocks.errors import CorruptError

if TYPE_CHECKING:
    from romanhub.asdf_blocks.remote import RemoteAsdf

#: The tags of arrays in the ASDF core schemas, version by version.
TAGS = [f"tag:stsci.edu:asdf/core/ndarray-1.{minor}.0" for minor in range(3)]


class _Reading(Converter):  # type: ignore[misc]
    """Makes a lazy array of each array that lies in a block of the file."""

    tags = TAGS
    types: tuple[type, ...] = ()

    def __init__(self, remote: RemoteAsdf) -> None:
        self._remote = remote

    def select_tag(self, obj: Any, tags: Any, ctx: Any) -> Any:
        """Return the newest tag; asdf wants to be told, though nothing is written with this converter."""
        return TAGS[-1]

    def to_yaml_tree(self, obj: Any, tag: Any, ctx: Any) -> Any:
        raise NotImplementedError("This converter only reads.")

    def from_yaml_tree(self, node: Any, tag: Any, ctx: Any) -> Any:
        from asdf.tags.core.ndarray import asdf_datatype_to_numpy_dtype

        from romanhub.asdf_blocks.lazy import LazyArray

        source = node.get("source") if hasattr(node, "get") else None
        if isinstance(source, str):
            raise CorruptError("The file has an array that lies in another file, which cannot be read from here.")
        if source is None:
            # Written out in the tree itself: asdf's own converter is right for it.
            stock = asdf.AsdfFile().extension_manager.get_converter_for_tag(tag)
            return stock.from_yaml_tree(node, tag, ctx)
        strides = node.get("strides")
        array = LazyArray(
            self._remote,
            int(source) if source >= 0 else len(self._remote.layout.blocks) + int(source),
            tuple(node["shape"]),
            asdf_datatype_to_numpy_dtype(_plain(node["datatype"]), node["byteorder"]),
            int(node.get("offset", 0)),
            tuple(strides) if strides is not None else None,
        )
        mask = node.get("mask")
        if mask is None:
            return array
        values = np.asarray(array)
        return np.ma.array(values, mask=np.asarray(mask) if np.ndim(mask) else values == mask)


def _plain(node: Any) -> Any:
    """Return a node of the tree as plain lists and dictionaries."""
    if hasattr(node, "items"):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(each) for each in node] if hasattr(node, "append") else node


class _Writing(Converter):  # type: ignore[misc]
    """Writes a lazy array as the array that it stands for: it is read for this."""

    tags: tuple[str, ...] = ()
    types = ("romanhub.asdf_blocks.lazy.LazyArray",)

    def select_tag(self, obj: Any, tags: Any, ctx: Any) -> None:
        """Return None: asdf then asks again for what `to_yaml_tree` returns."""
        return

    def to_yaml_tree(self, obj: Any, tag: Any, ctx: Any) -> Any:
        return np.asarray(obj)

    def from_yaml_tree(self, node: Any, tag: Any, ctx: Any) -> Any:
        raise NotImplementedError("This converter only writes.")


class _ReadExtension(Extension):  # type: ignore[misc]
    extension_uri = "asdf://romanhub/extensions/lazy-arrays-1.0.0"
    tags = TAGS

    def __init__(self, remote: RemoteAsdf) -> None:
        self._converters = [_Reading(remote)]

    @property
    def converters(self) -> list[Converter]:
        """The converters of this extension."""
        return self._converters


class _WriteExtension(Extension):  # type: ignore[misc]
    extension_uri = "asdf://romanhub/extensions/write-lazy-arrays-1.0.0"
    converters = [_Writing()]  # noqa: RUF012


_writing = _WriteExtension()


def extension(remote: RemoteAsdf) -> Any:
    """Return the extension that reads one file's arrays lazily, and see to it that such a tree can be written."""
    asdf.get_config().add_extension(_writing)  # adding it again does nothing
    return _ReadExtension(remote)
