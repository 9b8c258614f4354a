"""Which demo shop this database knows, so that a second start goes on with it."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

from cli.demo.journeys import Step
from deploy.local.files import write_atomically


class World:
    """When this database first saw the demo shop, and how much of its history it has.

    Remembered beside `demo.json`: the next start goes on with the same shop instead of a second one.
    """

    def __init__(self, path: Path, key: str, seed: int) -> None:
        self._path = path
        # Another key is another database, to which nothing was sent yet.
        self._name = f"{key.split('_')[1]}/{seed}"
        self.began: date = datetime.now(UTC).date()
        self.days = 0
        self.sent_until = datetime.min.replace(tzinfo=UTC)
        self.runs = 0
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["world"] == self._name:
                self.began = date.fromisoformat(stored["began"])
                self.days = int(stored["days"])
                self.sent_until = datetime.fromisoformat(stored["sent_until"])
                self.runs = int(stored["runs"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def missing(self, steps: list[Step], days: int) -> list[Step]:
        """Those of these steps that were not sent before."""
        return [step for step in steps if step.at > self.sent_until] if days <= self.days else steps

    def sent(self, days: int, until: datetime) -> None:
        """Note that the history of so many days up to this moment was accepted."""
        self.days, self.sent_until = max(days, self.days), until
        self._write()

    def next_run(self) -> int:
        """The number of a new run of live traffic: other customers than in the runs before."""
        self.runs += 1
        self._write()
        return self.runs

    def _write(self) -> None:
        content = {
            "world": self._name,
            "began": self.began.isoformat(),
            "days": self.days,
            "sent_until": self.sent_until.isoformat(),
            "runs": self.runs,
        }
        write_atomically(self._path, json.dumps(content) + "\n")
