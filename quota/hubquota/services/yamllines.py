"""On which line of a YAML file each key is, so that a mistake can be said with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from hubquota.models.crosscheck import Mistake

KeyPath = tuple[str | int, ...]


def walk(
    node: yaml.Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int], seen: set[int]
) -> Iterator[Mistake]:
    """Note each path's line, and yield the keys that a mapping has twice (YAML keeps the last).

    Args:
        node: the node at the path, as `yaml.compose` makes it.
        path: the keys and positions that lead to it.
        lines: is given the line of every path.
        seen: nodes that were walked already.
    """
    lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in seen:  # an alias: walking it again could go on for ever
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from walk(item, (*path, str(position)), lines, seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            word = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            here = key.start_mark.line + 1
            if word in first:
                # A path of its own, so that the mistake is placed at the second of the two.
                lines[(*path, word, "(again)")] = here
                yield Mistake(
                    (*path, word, "(again)"),
                    f"the key '{word}' is here twice, first on line {first[word]}; keep one",
                )
            else:
                first[word] = here
                lines[(*path, word)] = here
            yield from walk(value, (*path, word), lines, seen)


def line_of(lines: Mapping[tuple[str, ...], int], path: KeyPath) -> int:
    """Return the line of a path, or of the nearest that leads to it."""
    words = tuple(str(part) for part in path)
    while words not in lines and words:
        words = words[:-1]
    return lines.get(words, 1)


def dotted(path: KeyPath) -> str:
    """Return a path as people write it, such as tiers.explorer.budget."""
    return ".".join(str(part) for part in path if part != "(again)") or "(top)"
