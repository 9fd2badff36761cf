"""Localisation by the size of the lesion, of records whose every third can be worked out by hand."""

from typing import Any

from medxgan.evaluation.lesion_size import by_lesion_size
from medxgan.evaluation.report.sections import lesion_size_section

SHARES = {"d": 0.4, "a": 0.01, "none": None, "c": 0.3, "b": 0.02, "e": 0.5, "f": 0.6}
PRECISION = {"a": 0.1, "b": 0.3, "c": 0.4, "d": 0.6, "e": 0.7, "f": 0.9}


def image(name: str) -> dict[str, Any]:
    return {"image": name, "patient": name, "lesion_share": SHARES[name], "figures": {}}


def method(name: str, scale: float) -> dict[str, Any]:
    value = scale * PRECISION.get(name, 0)
    figures = {"average_precision": value, "pointing_game": 1.0, "iou": value}
    return {"image": name, "patient": name, "figures": figures if name in PRECISION else {}}


def thirds(names: list[str]) -> list[dict[str, Any]]:
    of_method = {key: [method(name, scale) for name in names] for key, scale in (("difference", 1), ("random", 0.5))}
    return by_lesion_size([image(name) for name in names], of_method, 0)


def test_the_smallest_lesions_come_first_and_images_without_a_mask_do_not_count() -> None:
    found = thirds(list(SHARES))
    assert [third["images"] for third in found] == [2, 2, 2]
    assert [(third["smallest"], third["largest"]) for third in found] == [(0.01, 0.02), (0.3, 0.4), (0.5, 0.6)]
    for name, scale in (("difference", 1), ("random", 0.5)):
        values = [third["methods"][name]["average_precision"]["value"] for third in found]
        assert values == [scale * mean for mean in (0.2, 0.5, 0.8)]


def test_the_report_has_a_row_for_each_method_and_for_chance() -> None:
    report = {"by_lesion_size": thirds(list(SHARES)), "methods": {"difference": {}}}
    table = list(lesion_size_section(report))[-1].splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in table] == ["method", "---", "difference", "random"]
    assert "1.0% to 2.0% (2)" in table[0]
    assert "0.200" in table[2]


def test_fewer_than_three_masks_have_no_thirds() -> None:
    assert thirds(["a", "none", "b"]) == []
    assert list(lesion_size_section({"by_lesion_size": []})) == []
