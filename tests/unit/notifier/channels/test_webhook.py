"""Templates of webhook bodies: what they may do, and how their mistakes are named."""

from pathlib import Path

import orjson
import pytest

from services.notifier.app import alerts_of
from services.notifier.channels.outlets import template_mistakes
from services.notifier.channels.webhook import BodyTemplate, TemplateMistake, Unbuildable, samples
from shared.config import load

EXAMPLES = Path(__file__).parents[4] / "deploy" / "alerts"


def template(tmp_path: Path, text: str) -> BodyTemplate:
    path = tmp_path / "body.json.j2"
    path.write_text(text)
    return BodyTemplate(path, "body.json.j2")


class TestATemplate:
    @pytest.mark.parametrize("name", ["teams", "pagerduty"])
    def test_that_ships_makes_json_of_every_sample(self, name: str) -> None:
        body = BodyTemplate(EXAMPLES / f"{name}.json.j2", name)
        body.prove(samples(), {"routing_key": "k" * 32})

    def test_writes_values_as_json_whatever_customers_write(self, tmp_path: Path) -> None:
        body = template(tmp_path, '{"a": {{ text }}, "b": {{ text|tojson }}, "c": {{ answer.score }}}')
        built = orjson.loads(body.render(samples()["an urgent case with everything"], {}))
        assert built["a"] == built["b"]
        assert 'said "never again"' in built["a"]
        assert "{{ 7 * 7 }}" in built["a"]
        assert built["c"] == 1

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{\n"a": {{ title }\n}', "body.json.j2, line 2"),
            ('{\n\n"a": {{ titel }}}', "body.json.j2, line 3: 'titel' is undefined"),
            ('{"a": {{ answer.comment }}}', "a case whose answer is gone"),
            ('{"a": "{{ title }}"}', "does not make JSON"),
            ("{% for x in facts %}", "line 1"),
            ('{"a": {{ values.routing_key }}}', "has no attribute 'routing_key'"),
            ('{"a": {{ "".__class__.__mro__ }}}', "line 1"),
            ('{"a": {{ 1 / 0 }}}', "ZeroDivisionError"),
            ("{% include 'x' %}", "body.json.j2"),
            ("{% for n in range(1000000) %}{% endfor %}{}", "line 1"),
        ],
    )
    def test_with_a_mistake_is_named_with_its_file_and_line(
        self, tmp_path: Path, text: str, said: str
    ) -> None:
        with pytest.raises(TemplateMistake) as refused:
            template(tmp_path, text).prove(samples(), {})
        assert said in str(refused.value)
        assert "never again" not in str(refused.value)

    def test_that_breaks_on_one_case_says_where_and_nothing_of_the_case(self, tmp_path: Path) -> None:
        body = template(tmp_path, '{\n"a": {{ {"Gold": 1}[customer.tier] }}}')
        with pytest.raises(Unbuildable, match=r"body.json.j2, line 2"):
            body.render(samples()["a case whose answer is gone"], {})

    def test_mistakes_stand_at_the_line_of_the_channel(self, tmp_path: Path) -> None:
        (tmp_path / "bad.j2").write_text('{"a": }')
        file = tmp_path / "closeloop.yaml"
        file.write_text("""stores:
  demo:
    name: Demo
    alerts:
      channels:
        good: {kind: slack, url: ""}
        bad:
          kind: webhook
          url: https://example.com/x
          template: bad.j2
        gone: {kind: webhook, url: "https://example.com", template: gone.j2}
        off: {kind: webhook, template: gone.j2}
""")
        config = load(file, {})
        mistakes = list(template_mistakes(config, "demo", alerts_of(config)["demo"].channels))
        assert [mistake.line for mistake in mistakes] == [10, 11]
        assert "bad.j2 does not make JSON" in mistakes[0].what
        assert "gone.j2 cannot be read" in mistakes[1].what
