"""The shape of the house: links, wheel map and folders agree; imports go one way only."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.lib import LAYERS

ROOT = Path(__file__).parents[1]
NOT_ROOMS = {"src", "docs", "bench", "tests", "build", "dist"}
ROOMS = sorted(
    folder.name
    for folder in ROOT.iterdir()
    if folder.is_dir() and not folder.name.startswith((".", "_")) and folder.name not in NOT_ROOMS
)
PROGRAMS = [room for room in ROOMS if room not in ("lib", "commands", "etc")]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_room_has_its_link_for_the_tools() -> None:
    links = {link.name: link.readlink() for link in (ROOT / "src/pillarbox").iterdir() if link.is_symlink()}
    assert links == {room: Path("../..") / room for room in ROOMS}


def test_every_room_is_mapped_into_the_wheel() -> None:
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == {"src/pillarbox": "pillarbox", **{room: f"pillarbox/{room}" for room in ROOMS}}
    assert sorted(wheel["only-include"]) == sorted(["src/pillarbox/__init__.py", *ROOMS])


def test_every_room_is_in_the_source_distribution() -> None:
    included = project()["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert set(ROOMS) <= set(included)


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", PROGRAMS)
def test_a_program_imports_the_shared_floor_and_itself_only(room: str) -> None:
    allowed = ("pillarbox.lib.", f"pillarbox.{room}.", "pillarbox.__version__")
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in sources(room)
        for name in imports(file)
        if name.startswith("pillarbox.") and not f"{name}.".startswith(allowed)
    ]
    assert not wrong


def test_commands_import_the_shared_floor_and_commands_only() -> None:
    allowed = ("pillarbox.lib.", "pillarbox.commands.", "pillarbox.etc", "pillarbox.__version__")
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in sources("commands")
        for name in imports(file)
        if name.startswith("pillarbox.") and not f"{name}.".startswith(allowed)
    ]
    assert not wrong


def test_every_sub_package_of_lib_has_a_place_in_the_order() -> None:
    found = {folder.name for folder in (ROOT / "lib").iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert found == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_downwards_only(layer: str) -> None:
    allowed = {f"pillarbox.lib.{name}" for name in LAYERS[: LAYERS.index(layer) + 1]}
    wrong = []
    for file in sources(f"lib/{layer}"):
        for name in imports(file):
            if name.startswith("pillarbox."):
                package = ".".join(name.split(".")[:3])
                if package not in allowed and not (
                    package.startswith("pillarbox.lib.LAYERS") or name == "pillarbox.lib"
                ):
                    wrong.append(f"{file.relative_to(ROOT)}: {name}")
    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_what_it_is_for(room: str) -> None:
    silent = [
        str(file.relative_to(ROOT)) for file in sources(room) if not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert silent in ([], ["lib/__init__.py"]) or silent == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_grows_beyond_measure(room: str) -> None:
    """None over 40 kB: one idea per file."""
    assert [str(file) for file in sources(room) if file.stat().st_size > 40_000] == []
