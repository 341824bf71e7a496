"""The shape of the tree: arrows point left, few may know Kafka's clients, every plug-in is registered."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("encoders", "fusion", "stream_app")  # each may import itself and what stands left of it
TOP_FOLDERS = {".ci", "deploy", "encoders", "fusion", "stream_app", "tests"}
KAFKA_CLIENTS = {"faust", "mode", "aiokafka", "confluent_kafka", "kafka"}
MAY_KNOW_KAFKA = ("stream_app/transport/", "stream_app/worker/", "stream_app/worker.py")
UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BINARY = {".safetensors", ".parquet", ".png", ".jpg", ".webp", ".wav", ".gz", ".npz", ".woff2", ".ico"}
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:work|root|home|Users|tmp)/[\w.-]+")

# registry: module, name, folder, whose subclasses (or which return type) make a plug-in
REGISTRIES = [
    ("stream_app.events", "EVENT_TYPES", "stream_app/events", {"Event"}),
    ("encoders", "ENCODERS", "encoders", {"nn.Module"}),
    ("fusion.heads", "HEADS", "fusion/heads", {"nn.Module", "Binary"}),
    ("stream_app.signals", "SIGNALS", "stream_app/signals", {"Fired"}),
]


def sources() -> list[Path]:
    """The packages' modules, relative to the root."""
    return sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def tracked() -> list[Path]:
    """What git has or would add, relative to the root."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: len(path.parts) - node.level] if node.level else ()
            yield ".".join([*package, *filter(None, [node.module])])


def plugins(folder: Path, marks: set[str]) -> set[str]:
    """Public classes derived from, or functions returning, one of `marks`; bases of others are no plug-ins."""
    named, bases = set(), set()
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            derived = {ast.unparse(base) for base in getattr(node, "bases", ())}
            returned = {ast.unparse(node.returns)} if isinstance(node, ast.FunctionDef) and node.returns else set()
            if (derived | returned) & marks:
                named.add(getattr(node, "name", ""))
                bases |= derived
    return {name for name in named - bases if not name.startswith("_")}


@pytest.mark.parametrize("path", sources(), ids=str)
def test_imports_only_point_left(path: Path) -> None:
    to_the_right = PACKAGES[PACKAGES.index(path.parts[0]) + 1 :]
    assert not [name for name in imports(path) if name.split(".")[0] in to_the_right]


def test_only_transport_and_worker_know_kafka_clients() -> None:
    knowing = {str(path) for path in sources() for name in imports(path) if name.split(".")[0] in KAFKA_CLIENTS}
    assert not {path for path in knowing if not path.startswith(MAY_KNOW_KAFKA)}


def test_the_packages_never_import_their_tests_or_deployment() -> None:
    assert not [p for p in sources() for name in imports(p) if name.split(".")[0] in {"tests", "deploy", "pytest"}]


def test_there_is_no_unknown_top_level_folder() -> None:
    assert {path.parts[0] for path in tracked() if len(path.parts) > 1} <= TOP_FOLDERS


@pytest.mark.parametrize(("module", "name", "folder", "marks"), REGISTRIES, ids=lambda value: str(value))
def test_every_plug_in_file_is_registered(module: str, name: str, folder: str, marks: set[str]) -> None:
    registered = {entry.__name__ for entry in getattr(importlib.import_module(module), name).values()}
    written = plugins(ROOT / folder, marks)
    if name == "ENCODERS":  # other modules are parts of an encoder
        written = {plugin for plugin in written if plugin.endswith("Encoder")}
    assert written == registered


@pytest.mark.parametrize(("module", "name", "folder", "marks"), REGISTRIES, ids=lambda value: str(value))
def test_a_registry_is_a_literal(module: str, name: str, folder: str, marks: set[str]) -> None:
    for node in parsed(Path(folder) / "__init__.py").body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            assert isinstance(node.value, ast.Dict)
            assert all(isinstance(key, ast.Constant) for key in node.value.keys)
            return
    pytest.fail(f"{module} defines no {name}")


def test_every_dialect_is_registered() -> None:
    folder = Path("stream_app/events/dialects")
    written = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__", "dialect"}
    registered = set(imports(folder / "__init__.py")) if written else set()
    assert {f"stream_app.events.dialects.{name}" for name in written} <= registered


def test_nothing_is_loaded_that_can_run_code() -> None:
    for path in sources():
        assert not {name.split(".")[0] for name in imports(path)} & UNSAFE_MODULES, path
        text = (ROOT / path).read_text("utf-8")
        assert not re.search(r"\btorch\.(load|save)\(|allow_pickle=True|(?<![.\w])(eval|exec)\(", text), path


def test_a_worker_loads_no_compiler() -> None:
    """It takes seconds and hundreds of MB, and nothing of ours is compiled by torch."""
    look = "import sys, stream_app.worker.worker; print({'torch._dynamo', 'triton'} & sys.modules.keys())"
    told = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_no_file_names_a_path_of_one_machine() -> None:
    for path in tracked():
        if path.suffix not in BINARY:
            found = MACHINE_PATH.search((ROOT / path).read_text("utf-8"))
            assert not found, f"{path}: {found}"
