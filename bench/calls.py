"""Notes which functions of the project a process calls, for `bench.walk`.

The process gets a `sitecustomize` that says `calls.start(FILE)`. From SIGUSR1 on each call in the main thread
is noted; SIGUSR2 ends that and writes the file: for each call its moment (perf_counter, which all processes
of a machine share on Linux), the function as FILE:LINE:NAME, and the loop of the service that it belongs to.

Not noted: code that is run by an import, and a coroutine or generator that only goes on (a call is its
start). Comprehensions, generator expressions and lambdas belong to the function in which they stand.
"""

import asyncio
import json
import signal
import sys
import time
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Call = tuple[float, str, str]

PROJECT = Path(__file__).resolve().parents[1]
PARTS = ("services", "shared")
_NOT_FUNCTIONS = ("<module>", "<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")
_UNNAMED = "Task-"
_LOOP = ContextVar("loop", default="")


class Recorder:
    """Keeps the calls of the main thread in memory between the two signals."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._names: dict[CodeType, str | None] = {}
        self._calls: list[Call] = []

    def begin(self, *_: object) -> None:
        """The handler of SIGUSR1."""
        sys.setprofile(self._note)

    def end(self, *_: object) -> None:
        """The handler of SIGUSR2. The file appears whole or not at all."""
        sys.setprofile(None)
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(self._calls), encoding="utf-8")
        part.rename(self._file)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        try:
            name = self._names[code]
        except KeyError:
            name = self._names[code] = _name(code)
        if name is not None and _starts(frame):
            self._calls.append((time.perf_counter(), name, _loop()))


def start(file: str) -> None:
    """Wait for the signals; until the first one the process runs as fast as ever."""
    recorder = Recorder(Path(file))
    signal.signal(signal.SIGUSR1, recorder.begin)
    signal.signal(signal.SIGUSR2, recorder.end)


def _name(code: CodeType) -> str | None:
    """FILE:LINE:NAME of a function of the project; None for anything else."""
    path = Path(code.co_filename)
    if code.co_name in _NOT_FUNCTIONS or not path.is_relative_to(PROJECT):
        return None
    path = path.relative_to(PROJECT)
    return f"{path}:{code.co_firstlineno}:{code.co_qualname}" if path.parts[0] in PARTS else None


def _starts(frame: FrameType) -> bool:
    """Whether it is called, not resumed: the argument of the RESUME instruction is 0 only at the start."""
    return frame.f_code.co_code[frame.f_lasti + 1] == 0


def _loop() -> str:
    """The named task that this code descends from; "" for a request and for what an unnamed task began.

    The name goes into the context of the task, which the tasks and callbacks that it makes inherit.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None and not task.get_name().startswith(_UNNAMED) and _LOOP.get() != task.get_name():
        _LOOP.set(task.get_name())
    return _LOOP.get()
