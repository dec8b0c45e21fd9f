"""The shape of the project: which package may import which, and what no file may do."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "sae": set(),
    "circuits": {"sae"},
    "steering": {"sae"},
    "experiments": {"sae", "circuits", "steering"},
}
SHELLS = ("cli", "plot")
MAX_LINES = 320


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_follow_the_arrows(package):
    for path in sources(package):
        roots = {module.split(".")[0] for module in imported_modules(path)} & MAY_IMPORT.keys()
        extra = roots - MAY_IMPORT[package] - {package}
        assert not extra, f"{path.relative_to(ROOT)} must not import {sorted(extra)}"


def test_one_file_imports_nnsight():
    users = {
        str(path.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in sources(package)
        if any(module.split(".")[0] == "nnsight" for module in imported_modules(path))
    }
    assert users == {"sae/host/host.py"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_nobody_imports_a_shell(package):
    for path in sources(package):
        shells = {m for m in imported_modules(path) if m.split(".")[-1] in SHELLS and m.split(".")[0] in MAY_IMPORT}
        if path.name == "cli.py" or path.parent.name == "commands":
            shells = {module for module in shells if module.split(".")[-1] == "cli"}
        assert not shells, f"{path.relative_to(ROOT)} must not import {sorted(shells)}"


@pytest.mark.parametrize("package", ["sae", "circuits", "steering"])
def test_no_file_is_named_for_a_function_that_its_package_exports(package):
    exported = dir(__import__(package))  # all define `__dir__`: their public names and nothing else
    names = {path.stem for path in (ROOT / package).glob("*.py")}
    assert not names & set(exported)


def test_no_pickle():
    """One file reads and writes the format of another project, tensors only."""
    for package in MAY_IMPORT:
        for path in sources(package):
            text = path.read_text(encoding="utf-8")
            assert "pickle" not in imported_modules(path), path
            if path == ROOT / "sae/dictionary/formats/torch_files.py":
                assert text.count("torch.load(") == text.count("weights_only=True") == 1
                continue
            assert "torch.load(" not in text, path
            assert "torch.save(" not in text, path


def test_files_stay_small():
    long = {
        str(path.relative_to(ROOT)): n
        for package in MAY_IMPORT
        for path in sources(package)
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def function_lengths() -> list[int]:
    """Lines of every function, its docstring aside."""
    lengths = []
    for package in MAY_IMPORT:
        for path in sources(package):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    first = node.body[0]
                    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
                    docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
                    lengths.append(node.end_lineno - node.lineno + 1 - docstring)
    return sorted(lengths)


def test_functions_stay_short():
    lengths = function_lengths()
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[int(0.9 * len(lengths))] <= 50


def test_shells_and_packages_import_nothing_heavy_at_the_top():
    heavy = {"torch", "transformers", "nnsight", "matplotlib", "networkx", "sae_lens", "rich"}
    for package in MAY_IMPORT:
        for path in (ROOT / package / "__init__.py", ROOT / package / "cli.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            top = {
                (alias.name if isinstance(node, ast.Import) else node.module).split(".")[0]
                for node in tree.body
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert not top & heavy, f"{path.relative_to(ROOT)} imports {sorted(top & heavy)} at its top"
