"""What the processes write is shown line by line, and their files stay small."""

from pathlib import Path

from deploy.local.log_follower import LogFollower


def follow(path: Path, shown: list[str], **options: int) -> LogFollower:
    return LogFollower({"scorer": path}, show=lambda name, line: shown.append(f"{name}: {line}"), **options)


class TestLogFollower:
    def test_shows_only_what_is_new_and_complete(self, tmp_path: Path) -> None:
        path, shown = tmp_path / "scorer.log", []
        path.write_text("of the last run\n")
        logs = follow(path, shown)
        with path.open("a") as file:
            file.write("one\ntwo\nhal")
        logs.poll()
        with path.open("a") as file:
            file.write("f\n")
        logs.poll()

        assert shown == ["scorer: one", "scorer: two", "scorer: half"]

    def test_waits_for_a_file_that_is_not_there_yet(self, tmp_path: Path) -> None:
        path, shown = tmp_path / "scorer.log", []
        logs = follow(path, shown)
        logs.poll()
        path.write_text("hello\n")
        logs.poll()

        assert shown == ["scorer: hello"]

    def test_cuts_a_file_that_grew_too_long_while_it_is_open(self, tmp_path: Path) -> None:
        path, shown = tmp_path / "scorer.log", []
        logs = follow(path, shown, limit_bytes=10)
        with path.open("a") as file:
            for line in ("first line\n", "second\n"):
                file.write(line)
                file.flush()
                logs.poll()

        assert path.read_text() == "second\n"
        assert (tmp_path / "scorer.log.1").read_text() == "first line\n"
        assert shown == ["scorer: first line", "scorer: second"]
