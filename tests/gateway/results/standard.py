"""The DICOM standard for dicom-validator: tables of the package `dicom-standard`, put back into docbook.

dicom-validator reads the standard as NEMA publishes it, and would fetch it from there. `dicom-standard`, whose tables
were parsed from the edition that was current in April 2020, comes from where all packages do. Here its tables of
modules, macros and UIDs become parts 3, 4 and 6 again, as much as some SOP classes need; what they mean,
dicom-validator's own readers decide.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from dicom_validator.spec_reader.edition_reader import EditionReader
from dicom_validator.validator.dicom_info import DicomInfo
from lxml import etree
from lxml.builder import ElementMaker

PACKAGE = "dicom-standard==0.1.0"
INSTALL_SECONDS = 120
EDITION = "2020"

# Of the macros that a content item includes, each belongs to one Value Type (table C.17-5). The package's tables list
# the rows of all of them, without the condition.
CONTENT_MACROS = {
    "numeric-measurement": "NUM",
    "code": "CODE",
    "composite-object-reference": "COMPOSITE",
    "image-reference": "IMAGE",
    "waveform-reference": "WAVEFORM",
    "spatial-coordinates": "SCOORD",
    "3d-spatial-coordinates": "SCOORD3D",
    "temporal-coordinates": "TCOORD",
    "container": "CONTAINER",
}
# What an item of the Content Sequence has besides included macros: Relationship Type, an identifier of another item.
OF_A_RELATIONSHIP = ("0040a730:0040a010", "0040a730:0040db73")
# The shared and the per-frame ones. The IOD says which macros they have; the tables leave out the row that says so.
FUNCTIONAL_GROUPS = ("52009229", "52009230")

E = ElementMaker(namespace="http://docbook.org/ns/docbook", nsmap={None: "http://docbook.org/ns/docbook"})

Row = dict[str, Any]


def dicom_info(folder: Path, sop_classes: Collection[str]) -> DicomInfo:
    """What the standard says of these SOP classes; the test is skipped where the package can't be had.

    Args:
        folder: an empty one, for the package and the docbook.
        sop_classes: their UIDs.
    """
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", folder, PACKAGE]
    try:
        subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"{PACKAGE}, which has the standard, can't be installed here")
    tables = Tables(folder / "standard")
    reader = EditionReader(folder)
    docbook = reader.docbook_path(EDITION)
    docbook.mkdir(parents=True)
    reader.json_path(EDITION).mkdir()
    for part, root in (("03", part_3(tables, sop_classes)), ("04", part_4(tables)), ("06", part_6(tables))):
        etree.ElementTree(root).write(docbook / f"part{part}.xml", encoding="utf-8")
    reader.create_json_files(EDITION)
    return reader.load_dicom_info(EDITION)


class Tables:
    """The package's tables, as lists of rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def table(self, name: str) -> list[Row]:
        """A file's rows."""
        rows: list[Row] = json.loads((self._folder / f"{name}.json").read_text())
        return rows

    @cached_property
    def dictionary(self) -> dict[str, Row]:
        """The attributes by tag; groups that repeat are 60xx, as in the tables of modules."""
        return {row["tag"].replace("XX", "xx"): row for row in self.table("attributes")}

    @cached_property
    def iods(self) -> dict[str, str]:
        """Names of the IODs, by SOP class."""
        return {row["id"]: row["ciod"] for row in self.table("sops")}

    def grouped(self, name: str, key: str) -> dict[str, list[Row]]:
        """A file's rows by a column."""
        groups = defaultdict(list)
        for row in self.table(name):
            groups[row[key]].append(row)
        return groups


def part_3(tables: Tables, sop_classes: Collection[str]) -> etree._Element:
    """The information objects of these SOP classes, with their modules, macros, and the sections that list values."""
    iods = {row["name"]: row["id"] for row in tables.table("ciods")}
    modules_of = tables.grouped("ciod_to_modules", "ciodId")
    macros_of = tables.grouped("ciod_to_fg_macros", "ciodId")
    modules = tables.grouped("module_to_attributes", "moduleId")
    macros = tables.grouped("macro_to_attributes", "macroId")
    titles = {row["id"]: row["name"] for name in ("modules", "macros") for row in tables.table(name)}

    objects, sections = [section("A.1", "General")], {}
    for iod in sorted({iods[tables.iods[sop_class]] for sop_class in sop_classes}):
        module_rows, macro_rows = [], []
        for row in modules_of[iod]:
            label = f"C.{row['moduleId']}"
            if label not in sections:
                sections[label] = module(label, modules[row["moduleId"]], tables)
            module_rows.append(E.tr(cell("IE"), cell(titles[row["moduleId"]]), reference(label), usage(row)))
        for row in macros_of.get(iod, []):
            label = f"C.macro-{row['macroId']}"
            sections[label] = section(label, label, table(label, attributes(macros[row["macroId"]], tables)))
            macro_rows.append(E.tr(cell(titles[row["macroId"]]), reference(label), usage(row)))
        of_the_object = [section("", f"{iod} IOD Modules", table("", module_rows))]
        if macro_rows:
            of_the_object.append(section("", f"{iod} Functional Group Macros", table("", macro_rows)))
        objects.append(section(f"A.{iod}", f"{iod} IOD", *of_the_object))
    # What descriptions refer to is looked for in the whole book, and found soonest where it is in front.
    return E.book(
        E.chapter(*value_lists(tables), label="F"),
        E.chapter(*objects, label="A"),
        E.chapter(*sections.values(), *content_item(macros, tables), label="C"),
    )


def part_4(tables: Tables) -> etree._Element:
    """Which information object a SOP class is of."""
    iods = {row["name"]: row["id"] for row in tables.table("ciods")}
    rows = [
        E.tr(cell(name), cell(uid), E.td(E.para(E.olink(targetptr=f"sect_A.{iods[name]}"))))
        for uid, name in tables.iods.items()
        if name in iods
    ]
    return E.book(E.chapter(section("B.5", "Standard SOP Classes", table("B.5-1", rows)), label="B"))


def part_6(tables: Tables) -> etree._Element:
    """The dictionary of attributes, and the UIDs of SOP classes."""
    columns = ("name", "keyword", "valueRepresentation", "valueMultiplicity")
    dictionary = [
        E.tr(cell(tag), *(cell(row[column]) for column in columns), cell("RET" if row["retired"] == "Y" else ""))
        for tag, row in tables.dictionary.items()
    ]
    uids = [E.tr(cell(uid), cell(name), cell("SOP Class"), cell("")) for uid, name in tables.iods.items()]
    return E.book(E.chapter(table("6-1", dictionary), label="6"), E.chapter(table("A-1", uids), label="A"))


def module(label: str, rows: list[Row], tables: Tables) -> etree._Element:
    """A module's section. Of a report's content it is the macros that the content item is made of."""
    if label == "C.sr-document-content":
        included = [included_table("document-content"), included_table("document-relationship")]
        return section(label, label, table(label, included))
    return section(label, label, table(label, attributes(rows, tables)))


def attributes(rows: Iterable[Row], tables: Tables) -> Iterator[etree._Element]:
    """Rows of a module or macro: name, tag, type, description."""
    for row in rows:
        path = path_in(row)
        name = ">" * path.count(":") + tables.dictionary[row["tag"]]["name"]
        description = E.td(*docbook(etree.fromstring(row["description"])))
        yield E.tr(cell(name), cell(row["tag"]), cell(row["type"]), description)
        if path in FUNCTIONAL_GROUPS:
            yield E.tr(cell(">Include one or more Functional Group Macros that are appropriate"))


def content_item(macros: dict[str, list[Row]], tables: Tables) -> Iterator[etree._Element]:
    """The macros of a report's content item, which includes further content items."""
    of_value_types = {path_in(row) for macro in CONTENT_MACROS for row in macros[macro]}
    content = [row for row in macros["document-content"] if path_in(row) not in of_value_types]
    by_value_type = [
        included_table(macro, condition=f"if and only if Value Type (0040,A040) is {value_type}.")
        for macro, value_type in CONTENT_MACROS.items()
    ]
    rows = macros["document-relationship"]
    relationship = [row for row in rows if ":" not in path_in(row) or path_in(row) in OF_A_RELATIONSHIP]
    below = [included_table("document-relationship", 1), included_table("document-content", 1)]
    for label, lines in {
        "document-content": [*attributes(content, tables), *by_value_type],
        "document-relationship": [*attributes(relationship, tables), *below],
        **{macro: attributes(macros[macro], tables) for macro in CONTENT_MACROS},
    }.items():
        yield section("", label, table(label, lines))


def value_lists(tables: Tables) -> Iterator[etree._Element]:
    """The sections that descriptions refer to for an attribute's values."""
    for address, html in tables.table("references").items():
        lists = docbook(etree.fromstring(html)) if "<dl>" in html else ()
        yield section(address.rpartition("#sect_")[2], "", *lists)


def path_in(row: Row) -> str:
    """Tags down to the attribute, within the module or macro."""
    return row["path"].partition(":")[2]


def docbook(html: etree._Element) -> Iterator[etree._Element]:
    """What stands below an element of HTML: lists of values are variable lists, the rest is paragraphs."""
    for element in html:
        title, values = element.find("p/strong"), element.findall("dl/dt")
        if title is not None and values:
            entries = (E.varlistentry(E.term(text(value))) for value in values)
            yield E.variablelist(E.title(text(title)), *entries)
        elif element.tag == "p":
            linked = re.findall(r"Section\s(\S+?)[.,;]?(?=\s|$)", text(element))
            yield E.para(text(element), *(E.xref(linkend=f"sect_{each}") for each in linked))
        else:
            yield E.para(text(element))


def text(element: etree._Element) -> str:
    """All of its text, on a line."""
    return " ".join("".join(element.itertext()).split())


def section(label: str, title: str, *content: etree._Element) -> etree._Element:
    return E.section(E.title(title), *content, label=label)


def table(label: str, rows: Iterable[etree._Element]) -> etree._Element:
    return E.table(E.tbody(*rows), label=label)


def cell(content: str) -> etree._Element:
    return E.td(E.para(content))


def reference(label: str) -> etree._Element:
    return E.td(E.para(E.xref(linkend=f"sect_{label}")))


def usage(row: Row) -> etree._Element:
    statement = row["conditionalStatement"]
    return cell(row["usage"] if statement is None else f"{row['usage']} - {statement}")


def included_table(label: str, level: int = 0, condition: str = "") -> etree._Element:
    above = ">" * level
    return E.tr(E.td(E.para(f"{above}Include ", E.emphasis(E.xref(linkend=f"table_{label}")), condition)))
