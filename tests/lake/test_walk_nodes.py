"""Spans of long values are counted and searched without trees of what nobody reads."""

from typing import Any

import pytest

from lake import json_tree, walk_nodes
from lake.envelope_errors import explain
from lake.json_text import JsonText
from tests.lake.test_walk import HEAD
from tests.lake.trees import sizes_of_trees


@pytest.mark.parametrize("limit", [1, 7, 2000, 5000])
def test_entries_are_counted_without_building_their_trees(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    listed = ["1", '"a"', "[1,[2]]", '{"a":[{}]}', "[" + "1," * 300 + "1]"] * 600
    text = f"[ {' , '.join(listed)} ]".encode()
    node = walk_nodes.node_of(JsonText(text), 0, len(text))
    assert isinstance(node, walk_nodes.ValueSpan)
    monkeypatch.setattr(json_tree, "tree", lambda *_: pytest.fail("a tree was built"))
    assert walk_nodes.count(node, limit) == min(limit, len(listed))


def test_members_with_other_names_are_passed_over_without_building_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[bytes] = []
    plain = json_tree.tree

    def tree(text: bytes) -> Any:
        built.append(text)
        return plain(text)

    others = ",".join(f'"k{n}":{value}' for n in range(60_000) for value in ("1", '[{"a":[1]}]'))
    text = f'{{{others},"a":[[2]],"\\u0061":3,{others}}}'.encode()
    node = walk_nodes.node_of(JsonText(text), 0, len(text))
    assert isinstance(node, walk_nodes.ValueSpan)
    monkeypatch.setattr(json_tree, "tree", tree)
    names = [name for name, _ in walk_nodes.members_named(node, frozenset({"a"}))]
    assert names == ["a", "a"]
    assert sum(map(len, built)) < len(text) / 100


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_lone_surrogate_among_sound_names_that_are_not_ascii_is_found(half: str) -> None:
    ids = ",".join(f'"é{n}":"ü{n}"' for n in range(3000))
    head = HEAD.replace('"_vendor_ids"', '"_ignored"')
    for bad, pointer in ((f'"x{half}":"1"', "/_vendor_ids/x"), (f'"x":"1{half}"', "/_vendor_ids/x")):
        raw = f'{{{head},"_vendor_ids":{{{ids},{bad},{ids.replace("é", "à")}}},"data":{{}}}}'.encode()
        found = [error.pointer for error in explain(raw).errors if error.pointer.startswith("/_vendor_ids")]
        assert len(found) == 1 and found[0].startswith(pointer)


@pytest.mark.parametrize("value", ['[{"type":"a"}]', '{"a":[[{"b":{}}]]}', "[" * 32 + "]" * 32, '"a"'])
def test_nested_values_are_built_in_groups(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    built = sizes_of_trees(monkeypatch)
    members = ",".join([f'"k":{value}'] * 40_000)
    text = f"{{{members}}}".encode()
    node = walk_nodes.node_of(JsonText(text), 0, len(text))
    assert sum(map(len, walk_nodes.member_groups(node))) == 40_000
    assert len(built) == 40


def test_groups_of_repeated_keys_are_passed_over_once_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = ",".join(f'"k{n % 7}":[{n}.0]' for n in range(40_000))
    raw = f'{{{HEAD},{repeated},"_thread_id":1,"k8":1,"data":{{}}}}'.encode()
    built = sizes_of_trees(monkeypatch)
    found = explain(raw).errors
    assert {error.pointer for error in found} == {"/_thread_id", "/k8", *(f"/k{n}" for n in range(7))}
    assert sum(built) < len(raw) / 5


def test_trees_of_nested_values_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    built = sizes_of_trees(monkeypatch)
    value = f"[{','.join(['[[],[]]'] * 15)}]"
    large = f"[{','.join([value] * 15)}]"
    text = f"[{','.join([large] * 1000)}]".encode()
    node = walk_nodes.node_of(JsonText(text), 0, len(text))
    assert list(walk_nodes.entries(node)) == json_tree.tree(text)
    built.pop()
    assert max(built) <= walk_nodes.SHORT_BYTES


def test_lone_surrogate_in_a_repeated_name_is_reported_once() -> None:
    ids = ",".join([r'"\ud800":""', '"a":""', r'"\udc00b":""'] * 3000)
    raw = f'{{{HEAD.replace("_vendor_ids", "_ignored")},"_vendor_ids":{{{ids}}},"data":{{}}}}'.encode()
    found = [error for error in explain(raw).errors if error.pointer.startswith("/_vendor_ids")]
    assert [(error.pointer, error.message.partition(": ")[2]) for error in found] == [
        ("/_vendor_ids/\ufffd", "the name holds a lone surrogate"),
        ("/_vendor_ids/\ufffdb", "the name holds a lone surrogate"),
        ("/_vendor_ids/a", "is given more than once"),
    ]


DEEP = "[" * 70 + "1" + "]" * 70


@pytest.mark.parametrize(
    ("members", "value"),
    [
        ('"a":1', None),
        ('"data":{"n":1}', '{"n":1}'),
        ('"data":1,"b":2', "1"),
        (f'"b":{DEEP},"data":1 , "c":{DEEP} ,"d":2', "1"),
        (f'"data":1,"b":{DEEP}, "data" : {DEEP},"c":{{"data":3}}', DEEP),
        (r'"data":1,"b":"\"data\":9","\u0064ata":2,"c":"\ud800","\ud800":{"data":4}', "2"),
        ('"data":1,' + ",".join(f'"k{n}":{{"data":{n}}}' for n in range(2500)), "1"),
        (",".join(f'"k{n}":{n},"data":[{n}]' for n in range(2500)), "[2499]"),
    ],
)
def test_last_member_with_a_name_is_found(members: str, value: str | None) -> None:
    text = f"{{ {members} }}".encode()
    place = walk_nodes.last_member(JsonText(text), "data")
    assert (None if place is None else text[slice(*place)].decode()) == value
