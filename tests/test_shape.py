"""The shape of the house: which way imports point, and how long things get."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs

import dacapo
from dacapo import errors
from dacapo.config import Config
from dacapo.discovery import NOT_CONFIGS
from dacapo.registry import KINDS, import_target

ROOT = Path(dacapo.__file__).parent
# Templates are what others begin with.
FILES = sorted(path for path in ROOT.rglob("*.py") if "plugin_templates" not in path.parts)
TREES = {path: ast.parse(path.read_text()) for path in FILES}

# Lower numbers stand lower in the house: a module imports only from its own floor and below.
FLOORS = [
    ("dacapo.errors",),
    ("dacapo.discovery",),
    ("dacapo.registry",),
    ("dacapo.config", "dacapo.names"),
    ("dacapo.documents", "dacapo.options", "dacapo.provenance", "dacapo.progress", "dacapo.redaction",
     "dacapo.stopping", "dacapo.resources", "dacapo.child"),
    ("configs", "dacapo.experiments.run_config", "dacapo.experiments.training_stats",
     "dacapo.experiments.validation_scores", "dacapo.experiments"),
    ("dacapo.store", "dacapo.compute_context"),
    ("dacapo.experiments.run",),
    ("dacapo.train", "dacapo.validate", "dacapo.search", "dacapo.predict", "dacapo.predict_local",
     "dacapo.delivery", "dacapo.worker", "dacapo.plot", "dacapo"),
    ("dacapo.cli", "dacapo.testing", "dacapo.demo", "dacapo.__main__"),
]  # fmt: skip


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(module: str) -> int:
    """Return the floor whose longest name fits; configs of any kind share one."""
    best = max(
        ((len(name), level) for level, names in enumerate(FLOORS) for name in names
         if module == name or module.startswith(name + ".")),
        default=(0, -1),
    )  # fmt: skip
    assert best[1] >= 0, f"{module} stands on no floor"
    return best[1]


def imports(tree: ast.Module, module: str, is_package: bool, lazy: bool = True) -> Iterator[str]:
    """Yield what a module imports, except for type checking; ``lazy`` includes function bodies."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.FunctionDef) and (not lazy or node.name == "__getattr__"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, module, is_package)
        queue.extend(ast.iter_child_nodes(node))


def _from(node: ast.ImportFrom, module: str, is_package: bool) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        up = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
        base = ".".join([*up, base] if base else up)
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        yield inner if (ROOT.parent / Path(*inner.split("."))).with_suffix(".py").exists() else base


GRAPH = {
    module_of(path): {
        name
        for name in imports(tree, module_of(path), path.name == "__init__.py")
        if name.startswith("dacapo")
    }
    for path, tree in TREES.items()
}


def test_arrows_point_down():
    up = [
        f"{module} -> {target}"
        for module, targets in GRAPH.items()
        for target in targets
        if floor(target) > floor(module)
    ]
    assert not up


def test_components_import_neither_stores_nor_verbs():
    wrong = [
        f"{module} -> {target}"
        for module, targets in GRAPH.items()
        if module.startswith("dacapo.experiments.") and module != "dacapo.experiments.run"
        for target in targets
        if floor(target) >= floor("dacapo.store")
    ]
    assert not wrong


def test_there_are_no_cycles():
    eager = {
        module_of(path): set(imports(tree, module_of(path), path.name == "__init__.py", lazy=False))
        & GRAPH.keys()
        for path, tree in TREES.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for target in eager[module] - {module}:
                visit(target, (*trail, module))
            done.add(module)

    for module in eager:
        visit(module, ())


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[int(share * (len(values) - 1))]


def test_files_and_functions_stay_short():
    lines = {path: len(path.read_text().splitlines()) for path in FILES}
    assert percentile(list(lines.values()), 0.9) <= 300
    assert max(lines.values()) <= 500, max(lines, key=lambda path: lines[path])
    functions = {
        f"{module_of(path)}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert percentile(list(functions.values()), 0.9) <= 25
    long = {name: length for name, length in functions.items() if length > 60}
    assert not long


def test_docstrings_take_their_share_and_no_more():
    total = sum(len(path.read_text().splitlines()) for path in FILES)
    documented = 0
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                first = node.body[0]
                documented += (first.end_lineno or 0) - first.lineno + 1
    assert 0.12 <= documented / total <= 0.25


def test_everything_public_has_a_docstring():
    bare = [
        f"{module_of(path)}.{node.name}"
        for path, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not bare


def test_no_module_is_called_after_nothing():
    empty = {"utils", "common", "helpers", "base", "manager", "tmp"}
    assert not [path for path in FILES if path.stem in empty]


def entry_points() -> dict[str, dict[str, str]]:
    with (ROOT.parent / "pyproject.toml").open("rb") as file:
        groups = tomllib.load(file)["project"]["entry-points"]
    return {group.removeprefix("dacapo."): table for group, table in groups.items()}


def test_every_entry_point_leads_somewhere_and_every_kind_is_known():
    for kind, table in entry_points().items():
        assert kind in KINDS
        for target in table.values():
            assert import_target(target) is not None


def test_every_config_class_is_offered():
    offered = {target for table in entry_points().values() for target in table.values()}
    abstract = {
        "ComputeContext",
        "FileArrayConfig",
        "InitialWeightsConfig",
        "PostProcessorParameters",
        "SurfaceTaskConfig",
        "EvaluationScores",
    }
    abstract |= {
        f"{kind}Config"
        for kind in ["Task", "Architecture", "Trainer", "Augment", "DataSplit", "Dataset", "Array", "Loss"]
    }
    missing = []
    for path in FILES:
        if path.name != "configs.py" or "testing" in path.parts:
            continue
        for node in TREES[path].body:
            if not isinstance(node, ast.ClassDef) or node.name in abstract:
                continue
            target = f"{module_of(path)}:{node.name}"
            cls = import_target(target)
            if isinstance(cls, type) and issubclass(cls, Config) and cls.kind and target not in offered:
                missing.append(target)
    assert not missing


def test_public_packages_list_what_they_export_sorted():
    for path in FILES:
        if path.name != "__init__.py":
            continue
        module = __import__(module_of(path), fromlist=["x"])
        if listed := getattr(module, "__all__", None):
            assert list(listed) == sorted(listed), module_of(path)
            assert all(hasattr(module, name) for name in listed)


def test_every_error_is_raised_in_some_test():
    tests = Path(__file__).parent
    text = "\n".join(path.read_text() for path in tests.rglob("test_*.py") if path != Path(__file__))
    classes = [
        name
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.DacapoError) and cls.__module__ == "dacapo.errors"
    ]
    # The branches of the tree are never raised themselves.
    branches = {"DacapoError", "PluginError", "DataError"}
    assert [name for name in classes if name not in branches and name not in text] == []


def test_the_tree_at_the_top_of_errors_is_complete():
    drawn = errors.__doc__ or ""
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, Exception) and cls.__module__ == "dacapo.errors":
            assert cls.__name__ in drawn


def test_every_field_of_every_config_explains_itself():
    for kind, table in entry_points().items():
        if kind in NOT_CONFIGS:
            continue
        for target in table.values():
            for one in attrs.fields(import_target(target)):
                assert one.metadata.get("help_text"), f"{target}: {one.name}"
