"""Writes integers as decoders accept them: ``5`` for ``5.0`` and ``50e-1``, which are integers in JSON Schema too."""

from typing import Any

from msgspec import inspect

from lake import json_text, json_tree, walk_nodes
from lake.json_text import MAX_DIGITS
from lake.walk_nodes import ValueSpan
from lake.walk_rules import struct_rules


def spelled(node: Any, type: inspect.Type) -> bytes:
    """A value without errors, as JSON."""
    match type:
        case inspect.StructType(cls=kind):
            fields = struct_rules(kind).fields
            members = walk_nodes.members(node)
            return b"{%b}" % b",".join(
                [b"%b:%b" % (json_tree.text(key), spelled(member, fields[key].type)) for key, member in members]
            )
        case inspect.Metadata(type=inner):
            return spelled(node, inner)
        case inspect.DictType(value_type=value):
            found = walk_nodes.members(node)
            return b"{%b}" % b",".join([b"%b:%b" % (json_tree.text(key), spelled(one, value)) for key, one in found])
        case inspect.ListType(item_type=item):
            return b"[%b]" % b",".join([spelled(entry, item) for entry in walk_nodes.entries(node)])
        case inspect.IntType():
            return json_text.integer(node.encode(), MAX_DIGITS) or b"0"
    return node.slice if isinstance(node, ValueSpan) else json_tree.text(node)
