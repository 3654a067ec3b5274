"""Finding commands, help, exit codes, and what errors look like."""

from __future__ import annotations

import subprocess
import sys

import click
import every_verb
import pytest

from dacapo import registry as registry_module
from dacapo.cli.commands import Option, Verb, argument
from dacapo.cli.tables import table
from dacapo.errors import DacapoError, NotFound
from dacapo.registry import Offer, registry

OURS = ("best", "config", "demo", "plugins", "predict", "run", "stats", "train", "validate")


@pytest.fixture
def offer(session_types, monkeypatch):
    """Return a function that offers a command to this test."""

    def add(name: str, command: object) -> None:
        one = Offer("commands", name, f"nowhere:{name}", "acme", "1")
        monkeypatch.setitem(registry.offers, ("commands", name), [one])
        if command is not None:
            monkeypatch.setitem(registry._classes, one, command)

    yield add
    registry_module.refresh()


def failing(error: BaseException) -> click.Command:
    def run() -> None:
        raise error

    return click.Command("fail", callback=run)


def test_help_lists_every_command_with_a_line_of_help(dacapo):
    called = dacapo("--help")
    assert called.exit_code == 0
    lines = {
        line.split()[0]: line.split()[1:] for line in called.stdout.splitlines() if line.startswith("  ")
    }
    for command in OURS:
        assert len(lines[command]) > 2, command


def test_help_and_version_load_nothing_heavy():
    source = (
        "import sys; sys.argv = ['dacapo', sys.argv[1]]; import atexit, dacapo.cli\n"
        "atexit.register(lambda: print('LOADED', *sys.modules))\n"
        "dacapo.cli.main()"
    )
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", source, option], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.partition("LOADED")[2].split())
        assert "dacapo.cli" in loaded
        heavy = {"torch", "numpy", "zarr", "pymongo", "tensorstore", "numba", "scipy", "xarray", "cattrs"}
        assert not loaded & heavy, option


def test_the_console_script_is_installed():
    done = subprocess.run([sys.executable, "-c", "from dacapo.cli import main; main()", "--version"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.startswith("dacapo, version ")


def test_a_command_of_another_package_is_listed_and_runs(dacapo, offer):
    offer("acme.skeletonize", click.Command("x", callback=lambda: click.echo("bones"), help="Thin out."))
    assert "acme.skeletonize  Thin out." in dacapo("--help").stdout
    assert dacapo("acme.skeletonize").stdout == "bones\n"


def test_a_broken_command_hides_no_other(dacapo, offer):
    offer("acme.broken", None)
    called = dacapo("--help")
    assert called.exit_code == 0
    assert "(broken)" in called.stdout
    assert "train" in called.stdout
    called = dacapo("acme.broken")
    assert called.exit_code == 1
    assert "comes from acme 1" in called.stderr


@pytest.mark.parametrize("words", [("trian",), ("run", "lst")])
def test_a_misspelt_command_is_a_usage_error_with_a_suggestion(dacapo, words):
    called = dacapo(*words)
    assert called.exit_code == 2
    assert f"did you mean {'train' if len(words) == 1 else 'list'}?" in called.stderr


def test_a_command_like_no_other_gets_the_list(dacapo):
    assert "there are archive, create, delete, diff, list, note" in dacapo("run", "xyzzy").stderr


def test_a_misspelt_option_is_a_usage_error_with_a_suggestion(dacapo):
    called = dacapo("config", "--jsn")
    assert called.exit_code == 2
    assert "--json" in called.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NotFound("no run of that name"), 3, "error: no run of that name\n"),
        (
            PermissionError(13, "Permission denied", "/data"),
            1,
            "error: [Errno 13] Permission denied: '/data'\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_become_one_message_and_an_exit_code(dacapo, offer, error, code, said):
    offer("fail", failing(error))
    called = dacapo("fail")
    assert (called.exit_code, called.stdout, called.stderr) == (code, "", said)


def test_what_nobody_foresaw_says_how_to_look_further(dacapo, offer):
    offer("fail", failing(ZeroDivisionError("division by zero")))
    called = dacapo("fail")
    assert called.exit_code == 1
    assert called.stderr.startswith("error: ZeroDivisionError: division by zero\n")
    assert "dacapo --debug" in called.stderr
    assert "Traceback" not in called.stderr


def test_tracebacks_come_with_debug_only(dacapo, offer):
    offer("fail", failing(DacapoError("no")))
    assert "Traceback" not in dacapo("fail").stderr
    debugged = dacapo("--debug", "fail")
    assert "Traceback" in debugged.stderr
    assert debugged.stderr.endswith("error: no\n")


@click.command(cls=Verb)
@argument("run", "-r", "--run-name")
@argument("output", "-op", "--output-path")
@click.option("--roi", cls=Option, former=("-roi", "--output-roi"))
def spoken(run: str, output: str, roi: str | None) -> None:
    """Say what was understood."""
    click.echo(f"{run} {output} {roi}")


@pytest.mark.parametrize(
    "words",
    [
        ("a", "b", "--roi", "c"),
        ("-r", "a", "-op", "b", "-roi", "c"),
        ("--run_name", "a", "--output_path=b", "--output_roi", "c"),
        ("--run-name", "a", "b", "--output-roi=c"),
        ("b", "-r", "a", "--roi", "c"),
    ],
)
def test_arguments_are_understood_in_their_former_spellings(dacapo, offer, words):
    offer("spoken", spoken)
    assert dacapo("spoken", *words).stdout == "a b c\n"


def test_former_spellings_are_shown_by_no_help(dacapo, offer):
    offer("spoken", spoken)
    shown = dacapo("spoken", "--help").stdout
    assert "--roi" in shown
    assert not any(former in shown for former in ("-r,", "-op", "--run-name", "--output-roi", " -roi"))


@pytest.mark.parametrize(
    ("words", "said"), [(("a",), "Missing argument"), (("-r", "a", "b", "c"), "unexpected extra argument")]
)
def test_too_few_and_too_many_arguments_are_usage_errors(dacapo, offer, words, said):
    offer("spoken", spoken)
    called = dacapo("spoken", *words)
    assert called.exit_code == 2
    assert said in called.stderr


def test_logging_goes_to_standard_error_at_the_level_asked_for(tmp_path):
    source = (
        "import sys, click, logging\nfrom dacapo.cli import cli\n"
        "command = click.Command('x', callback=lambda: logging.getLogger('dacapo.x').info('heard'))\n"
        "cli.add_command(command)\ntype(cli).list_commands = lambda *_: ['x']\n"
        "type(cli).get_command = lambda *_: command\ncli(['--log-level', sys.argv[1], 'x'])"
    )
    for level, heard in (("info", True), ("WARNING", False)):
        done = subprocess.run(
            [sys.executable, "-c", source, level], capture_output=True, text=True, check=True
        )
        assert done.stdout == ""
        assert ("heard" in done.stderr) == heard


def test_an_unknown_log_level_is_a_usage_error(dacapo):
    assert dacapo("--log-level", "loud", "config").exit_code == 2


def test_a_row_of_a_table_is_one_line():
    assert table(("run", "reason"), [("a", "it is missing\ninstall it")]).splitlines()[2:] == [
        "a    it is missing install it"
    ]


def test_a_worker_that_never_waits_is_refused(dacapo):
    for option in ("--poll", "--idle-exit"):
        called = dacapo("worker", option, "-1")
        assert called.exit_code == 2 and option in called.stderr
    assert "0.0 is not in the range x>0" in dacapo("worker", "--poll", "0").stderr


def test_exit_codes_are_told(dacapo):
    told = " ".join(dacapo("--help").stdout.split())
    for code in (
        "0 done",
        "5 store out of reach",
        "6 somebody else",
        "75 stopped",
        "130 inter",
        "143 termin",
    ):
        assert code in told


def test_faults_are_tried_on_every_verb_there_is():
    assert every_verb.left_out() == set()
