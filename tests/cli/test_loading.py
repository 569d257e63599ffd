"""What Ctrl-C does while modules are loaded."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from service.cli.loading import loaded

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        (signal.default_int_handler, signal.SIG_DFL),
        (signal.SIG_IGN, signal.SIG_IGN),
        (signal.SIG_DFL, signal.SIG_DFL),
    ],
)
def test_ctrl_c_ends_what_is_being_loaded_without_a_traceback(
    tmp_path: Path, monkeypatch, before, meanwhile
):
    name = f"loaded_late_{before if isinstance(before, int) else 'python'}"
    (tmp_path / f"{name}.py").write_text("import signal; now = signal.getsignal(signal.SIGINT)")
    monkeypatch.syspath_prepend(str(tmp_path))
    of_pytest = signal.signal(signal.SIGINT, before)
    try:
        assert loaded(name).now == meanwhile
        assert signal.getsignal(signal.SIGINT) == before
        with pytest.raises(ModuleNotFoundError):
            loaded("no_such_module")
        assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGINT, of_pytest)
