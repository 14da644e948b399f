"""The routes file: what is wrong in it is told with file, line and key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from handlers.current_routes import rules
from handlers.targets import TARGETS
from shared.errors import RoutesError
from shared.routes import Routes
from shared.routes_checks import MAX_ROUTE_BYTES
from shared.routes_file import parse_routes

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
sources:
  wine-dev: {kind: databricks, secret: wine-dev-webhook}
  models: {kind: mlflow, secret: models-webhook}
routes:
  - name: first
    when: {source: wine-dev, event: model_version.stage_changed}
    steps:
      - slack: {url_secret: mlops-slack, text: "{model}"}
      - azure_devops_release:
          organization: ml-governance
          project: ML Governance V2
          definition: 12
          variables:
            modelName: "{model}"
    on_failure:
      - teams: {url_secret: mlops-teams, text: "{failed.reason}"}
  - name: second
    when: {event: comment.created, model: "wine*"}
    steps: [{slack: {url_secret: mlops-slack, text: "{comment}"}}]
"""


def read(text: str) -> Routes:
    return parse_routes(text, "routes.yaml", rules())


def problems(text: str) -> list[str]:
    with pytest.raises(RoutesError) as error:
        read(text)
    return error.value.problems


def changed(line: int, text: str, good: str = GOOD) -> str:
    lines = good.splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("file", ["routes.yaml", "tests/routes.yaml"])
def test_our_own_routes_are_valid(file: str) -> None:
    text = (ROOT / file).read_text()
    routes = parse_routes(text, file, rules())
    data = yaml.safe_load(text)
    assert [route.name for route in routes.routes] == [route["name"] for route in data["routes"]]
    assert set(routes.sources) == set(data["sources"])


def test_a_file_is_read_as_it_says() -> None:
    first, second = read(GOOD).routes
    assert [step.id for step in first.steps] == ["slack", "azure_devops_release"]
    assert [step.target for step in first.on_failure] == ["teams"]
    assert first.steps[1].options["variables"] == {"modelName": "{model}"}
    assert (second.when.source, second.when.model, second.on_failure) == ("*", "wine*", ())


def test_a_source_has_the_age_of_its_kind_unless_it_says_another() -> None:
    sources = read(GOOD).sources
    assert (sources["wine-dev"].max_age, sources["models"].max_age) == (24 * 3600, 300)
    line = "  wine-dev: {kind: databricks, secret: wine-dev-webhook, max_age: %s}"
    for text, seconds in {"300s": 300, "5m": 300, "24h": 86400, "30d": 30 * 86400}.items():
        assert read(changed(2, line % text)).sources["wine-dev"].max_age == seconds


def test_a_file_without_routes_is_valid() -> None:
    assert read("sources: {models: {kind: mlflow, secret: models-webhook}}").routes == ()


def the_problem(line: int, text: str) -> str:
    """The one problem of the good file with another text in the place of one line."""
    (problem,) = problems(changed(line, text))
    return problem


IN_QUOTES = "put it in quotes"
NO_SECRET_NAME = "is no name of a Key Vault secret"
Told = tuple[str, str, str]  # what stands there, the line and key that are named, a part of the message


def table(rows: dict[str, Told]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("text", "place", "message"), rows.values(), ids=rows.keys())


FIRST_SOURCE: dict[str, Told] = {
    "unknown key": (
        "{kind: mlflow, secret: x, colour: red}",
        ".colour",
        "unknown key: `authorization_secret`, `kind`, ",
    ),
    "no secret": ("{kind: databricks}", "", "the key `secret` is missing"),
    "no kind": ("{secret: x}", "", "the key `kind` is missing"),
    "unknown kind": (
        "{kind: gitlab, secret: x}",
        ".kind",
        "'gitlab' is none of `databricks`, `databricks_jobs`, `mlflow`",
    ),
    "a text": ("databricks", "", "Expected `object`, got `str`"),
    "nothing": ("", "", "Expected `object`, got `null`"),
    "secret a bool": ("{kind: mlflow, secret: yes}", ".secret", IN_QUOTES),
    "secret a number": ("{kind: mlflow, secret: 5}", ".secret", IN_QUOTES),
    "secret with _": ("{kind: mlflow, secret: a_b}", ".secret", f"'a_b' {NO_SECRET_NAME}"),
    "secret empty": ("{kind: mlflow, secret: ''}", ".secret", f"'' {NO_SECRET_NAME}"),
    "secret itself": ("{kind: mlflow, secret: 's3cr3t!/+='}", ".secret", NO_SECRET_NAME),
    "authorization": ("{kind: mlflow, secret: x, authorization_secret: a b}", ".authorization_secret", NO_SECRET_NAME),
}


@table(FIRST_SOURCE)
def test_a_mistake_in_a_source_is_named(text: str, place: str, message: str) -> None:
    problem = the_problem(2, f"  wine-dev: {text}")
    assert problem.startswith(f"routes.yaml:2: sources.wine-dev{place}: ")
    assert message in problem


@pytest.mark.parametrize(
    "age",
    [
        "24",
        "'24'",
        "0h",
        "-1h",
        "1.5h",
        "24H",
        "h",
        "''",
        "null",
        "[24h]",
        "yes",
        "9999999s",
        "'1\xa0h'",
        "'٢h'",
        "24hours",
    ],
)
def test_an_age_that_is_none_is_named(age: str) -> None:
    problem = the_problem(2, f"  wine-dev: {{kind: mlflow, secret: x, max_age: {age}}}")
    assert problem.startswith("routes.yaml:2: sources.wine-dev.max_age: ")
    assert "is no age: give a number and s, m, h or d, such as `24h`" in problem


NO_NAMES = ["Wine", "a/b", "a.b", "a b", "-a", "a-", "_a", "x" * 64, "é", "''", "*a"]


@pytest.mark.parametrize("name", [name for name in [*NO_NAMES, "5"] if name != "*a"])
def test_a_source_of_a_name_that_is_none_is_named(name: str) -> None:
    problem = the_problem(3, f"  {name}: {{kind: mlflow, secret: x}}")
    assert problem.startswith("routes.yaml:3: sources")
    assert "is no name: lower-case letters, digits, `-` and `_`, 63 at most" in problem


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_route_of_a_name_that_is_none_is_named(name: str) -> None:
    problem = the_problem(5, f"  - name: '{name.strip(chr(39))}'")
    assert problem.startswith("routes.yaml:5: routes[0].name: ")
    assert "is no name" in problem


@pytest.mark.parametrize("name", [*NO_NAMES, "[a]", "{a: b}", "null", "5"])
def test_a_step_of_a_name_that_is_none_is_named(name: str) -> None:
    name = name if name[0] in "[{n5" else f"'{name.strip(chr(39))}'"
    problem = the_problem(8, f"      - {{id: {name}, slack: {{url_secret: x, text: y}}}}")
    assert problem.startswith("routes.yaml:8: routes[0].steps[0].id: ")
    assert "is no name" in problem


def test_a_name_of_63_is_one() -> None:
    assert read(changed(5, f"  - name: {'x' * 63}")).routes[0].name == "x" * 63


SLACK = "      - slack: {url_secret: x, text: %s}"
ROUTES: dict[str, tuple[int, str, str, str]] = {
    "unknown key of the file": (
        4,
        "extra: 1\nroutes:",
        "4: extra",
        "unknown key: the file holds `sources`, `routes` and `budget`",
    ),
    "unknown key": (
        5,
        "  - name: first\n    colour: red",
        "6: routes[0].colour",
        "unknown key: `name`, `on_failure`, ",
    ),
    "key a number": (5, "  - name: first\n    1: x", "6: routes[0][1]", "unknown key: `name`, "),
    "no name": (17, "  - on_failure: []", "17: routes[1]", "the key `name` is missing"),
    "no when": (6, "    # when", "5: routes[0]", "the key `when` is missing"),
    "name a number": (5, "  - name: 1", "5: routes[0].name", IN_QUOTES),
    "one name twice": (17, "  - name: first", "17: routes[1].name", "two routes are called 'first'"),
    "a text": (17, "  - second\n  - name: third", "17: routes[1]", "Expected `object`, got `str`"),
    "no steps": (19, "    steps: []", "19: routes[1].steps", "expected at least one step"),
    "no key for steps": (19, "    # steps", "17: routes[1]", "the key `steps` is missing"),
    "steps a mapping": (19, "    steps: {slack: {}}", "19: routes[1].steps", "Expected `array`, got `object`"),
    "steps nothing": (19, "    steps:", "19: routes[1].steps", "Expected `array`, got `null`"),
    "when a text": (18, "    when: always", "18: routes[1].when", "Expected `object`, got `str`"),
    "too long": (8, SLACK % ("x" * MAX_ROUTE_BYTES), "5: routes[0]", "the route is too long"),
}


@pytest.mark.parametrize(("line", "text", "place", "message"), ROUTES.values(), ids=ROUTES.keys())
def test_a_mistake_in_a_route_is_named(line: int, text: str, place: str, message: str) -> None:
    problem = the_problem(line, text)
    assert problem.startswith(f"routes.yaml:{place}: ")
    assert message in problem


def test_routes_that_are_a_mapping_are_named() -> None:
    (problem,) = problems("sources: {models: {kind: mlflow, secret: x}}\nroutes: {}")
    assert problem == "routes.yaml:2: routes: expected a list of routes"


STAGE = "`model_version.stage_changed`, `transition_request.created`"
WHENS: dict[str, Told] = {
    "unknown key": ("event: comment.created, stage: x", ".stage", "unknown key: `alias`, "),
    "key a number": ("1: x, event: comment.created", "", IN_QUOTES),
    "no event": ("model: wine", "", "the key `event` is missing"),
    "unknown type": ("event: model_version.stage_change", ".event", "did you mean 'model_version.stage_changed'?"),
    "a type far from any": ("event: xyz", ".event", "'xyz' is no event type: types are `budget_policy.exceeded`, "),
    "unknown type in a list": ("event: [comment.created, x]", ".event", "'x' is no event type"),
    "Databricks' own name": ("event: MODEL_VERSION_CREATED", ".event", "is no event type"),
    "unknown source": ("event: '*', source: wine", ".source", "'wine': sources are `models`, `wine-dev`"),
    "unknown source in a list": ("event: '*', source: [models, b*]", ".source", "no source is called 'b*'"),
    "source in upper case": ("event: '*', source: Models", ".source", "no source is called 'Models'"),
    "to_stage": ("event: comment.created, to_stage: x", ".to_stage", f"by `comment.created`, only by {STAGE}"),
    "from_stage": ("event: model_version_*, from_stage: x", ".from_stage", f"only by {STAGE}"),
    "alias": ("event: model_version.created, alias: x", ".alias", "only by `model_version_alias.created`"),
    "a number": ("event: '*', model: 5", ".model", IN_QUOTES),
    "a fraction": ("event: '*', model: 1.5", ".model", IN_QUOTES),
    "a date": ("event: '*', model: 2026-11-20", ".model", IN_QUOTES),
    "a bool in a list": ("event: '*', model: [wine, yes]", ".model[1]", IN_QUOTES),
    "a mapping": ("event: '*', model: {a: b}", ".model", "Expected `str | array`, got `object`"),
    "a tag that is a bool": ("event: '*', tags: {approved: true}", ".tags", IN_QUOTES),
    "tags that are a list": ("event: '*', tags: [approved]", ".tags", "Expected `object`, got `array`"),
    "an event that nothing is": ("event: []", ".event", ""),
    "a model that nothing is": ("event: '*', model: []", ".model", ""),
    "a source that nothing is": ("event: '*', source: []", ".source", ""),
    "a tag that nothing is": ("event: '*', tags: {approved: []}", ".tags.approved", ""),
}


@table(WHENS)
def test_a_condition_that_can_never_hold_is_named(text: str, place: str, message: str) -> None:
    problem = the_problem(6, f"    when: {{{text}}}")
    assert problem.startswith(f"routes.yaml:6: routes[0].when{place}: ")
    assert message in problem


ONE_TARGET = "a step is one target with its options; targets are " + ", ".join(f"`{name}`" for name in sorted(TARGETS))
STEPS: dict[str, Told] = {
    "unknown target": ("slak: {url_secret: x, text: y}", "", ONE_TARGET),
    "nothing": ("{}", "", ONE_TARGET),
    "an id alone": ("id: tell", "", ONE_TARGET),
    "two targets": ("{slack: {url_secret: x, text: y}, teams: {url_secret: x, text: y}}", "", ONE_TARGET),
    "a key beside the target": ("{slack: {url_secret: x, text: y}, wait: true}", "", ONE_TARGET),
    "a text": ("slack", "", "Expected `object`, got `str`"),
    "a number for a target": ("1: x", "", IN_QUOTES),
    "unknown option": ("slack: {url_secret: x, text: y, color: red}", ".slack.color", "unknown key: `at_most_once`, "),
    "a number for an option": ("slack: {1: x, url_secret: x, text: y}", ".slack[1]", "unknown key: `at_most_once`, "),
    "missing option": ("slack: {url_secret: x}", ".slack", "the key `text` is missing"),
    "options a text": ("slack: hello", ".slack", "Expected `object`, got `str`"),
    "options nothing": ("slack:", ".slack", "Expected `object`, got `null`"),
    "a bool for a text": ("slack: {url_secret: x, text: on}", ".slack.text", IN_QUOTES),
    "a text for a bool": (
        "slack: {url_secret: x, text: y, at_most_once: 'yes'}",
        ".slack.at_most_once",
        "Expected `bool`",
    ),
    "a URL for its secret": ("slack: {url_secret: 'https://x', text: y}", ".slack.url_secret", NO_SECRET_NAME),
    "no URL": ("slack: {url_secret: , text: y}", ".slack.url_secret", "Expected `str`, got `null`"),
}


@table(STEPS)
def test_a_mistake_in_a_step_is_named(text: str, place: str, message: str) -> None:
    problem = the_problem(8, f"      - {text}")
    assert problem.startswith(f"routes.yaml:8: routes[0].steps[0]{place}: ")
    assert message in problem


@pytest.mark.parametrize("id", ["slack", "azure_devops_release"])
def test_one_step_twice_is_named(id: str) -> None:
    problem = the_problem(8, f"{SLACK % 'x'}\n      - {{id: {id}, teams: {{url_secret: x, text: y}}}}")
    assert problem.startswith(f"routes.yaml:7: routes[0].steps: two steps are called {id!r}: ")
    assert "another name with a key `id`" in problem


RELEASE: dict[str, tuple[int, str, str, str]] = {
    "number in quotes": (12, 'definition: "12"', "12:.definition", "Expected `int`, got `str`"),
    "number a bool": (12, "definition: yes", "12:.definition", "Expected `int`, got `bool`"),
    "variable a number": (14, "  modelVersion: 3", "13:.variables", IN_QUOTES),
    "variable a fraction": (14, "  modelVersion: 1.10", "13:.variables", IN_QUOTES),
    "variable whose name is a number": (14, "  1: x", "13:.variables", IN_QUOTES),
    "unknown option": (12, "definition: 12\n          wait: true", "13:.wait", "unknown key: `artifacts`, "),
    "secret's name": (
        12,
        "definition: 12\n          pat_secret: my_pat",
        "13:.pat_secret",
        f"'my_pat' {NO_SECRET_NAME}",
    ),
    "unknown placeholder": (14, '  name: "{name}"', "14:.variables.name", "unknown placeholder {name}"),
    "unknown field of a step": (14, '  name: "{steps.slack.url}"', "14:.variables.name", "unknown placeholder"),
    "templated organization": (10, 'organization: "{model}"', "10:.organization", "takes no placeholders"),
    "templated project": (11, 'project: "ML {tags.team}"', "11:.project", "takes no placeholders"),
    "templated secret": (12, 'definition: 12\n          pat_secret: "{model}"', "13:.pat_secret", NO_SECRET_NAME),
    "templated name": (14, '  "{model}": x', "14:.variables.{model}", "takes no placeholders"),
}


@pytest.mark.parametrize(("line", "text", "place", "message"), RELEASE.values(), ids=RELEASE.keys())
def test_a_mistake_in_options_is_named_on_its_own_line(line: int, text: str, place: str, message: str) -> None:
    problem = the_problem(line, f"          {text}")
    number, key = place.split(":")
    assert problem.startswith(f"routes.yaml:{number}: routes[0].steps[1].azure_devops_release{key}: ")
    assert message in problem


PLACEHOLDERS: dict[str, str] = {
    "{modle}": "unknown placeholder {modle}: known here are `alias`, `comment`, `delivery`, ",
    "{Model}": "unknown placeholder {Model}",
    "{}": "unknown placeholder {}",
    "{0}": "unknown placeholder {0}",
    "{model.__class__}": "unknown placeholder {model.__class__}",
    "{model[0]}": "unknown placeholder {model[0]}",
    "{steps.azure_devops_release.link}": "unknown placeholder {steps.azure_devops_release.link}",
    "{steps.slack.link}": "unknown placeholder {steps.slack.link}",
    "{failed.reason}": "unknown placeholder {failed.reason}",
    "{model": "write a brace that is meant as text twice, `{{`",
    "model}": "write a brace that is meant as text twice, `{{`",
    "{model!r}": "{model} takes no format",
    "{model:>9}": "{model} takes no format",
}


@pytest.mark.parametrize(("text", "message"), PLACEHOLDERS.items(), ids=PLACEHOLDERS.keys())
def test_a_placeholder_that_means_nothing_there_is_named(text: str, message: str) -> None:
    problem = the_problem(8, SLACK % f'"{text}"')
    assert problem.startswith("routes.yaml:8: routes[0].steps[0].slack.text: ")
    assert message in problem


def test_what_a_failure_may_tell_is_named() -> None:
    problem = the_problem(16, '      - teams: {url_secret: x, text: "{failed.why}"}')
    assert problem.startswith("routes.yaml:16: routes[0].on_failure[0].teams.text: unknown placeholder {failed.why}: ")
    assert "`failed.link`, `failed.reason`, `failed.step`" in problem


def test_a_later_step_may_tell_of_an_earlier_one_and_any_tag() -> None:
    assert read(changed(14, '            link: "{steps.slack.link} {steps.slack.ref} {tags.any thing} {route} {{x}}"'))


def test_a_number_is_not_to_be_put_in_quotes() -> None:
    (problem,) = problems(changed(12, "          definition: yes"))
    assert "quotes" not in problem


WAITS = """\
sources: {models: {kind: mlflow, secret: models-webhook}}
routes:
  - name: first
    when: {event: model_version.created}
    steps:
      - azure_devops_pipeline:
          organization: ml-governance
          project: ML Governance V2
          pipeline: 6
          wait_hours: %s
"""


@pytest.mark.parametrize("hours", [".nan", ".inf", "-.inf", "-1", "0", "1e300"])
def test_a_time_that_cannot_be_waited_for_is_a_mistake(hours: str) -> None:
    (problem,) = problems(WAITS % hours)
    assert problem.startswith("routes.yaml:10: routes[0].steps[0].azure_devops_pipeline.wait_hours: ")


@pytest.mark.parametrize("number", ["0", "-6", "99999999999999999999"])
def test_a_number_that_no_pipeline_has_is_a_mistake(number: str) -> None:
    (problem,) = problems((WAITS % "1").replace("pipeline: 6", f"pipeline: {number}"))
    assert problem.startswith("routes.yaml:9: routes[0].steps[0].azure_devops_pipeline.pipeline: ")


NOT_YAML: dict[str, tuple[int, str, str]] = {
    "key of a source twice": (
        2,
        "  wine-dev: {secret: x, kind: mlflow, secret: y}",
        "2: the key 'secret' stands twice",
    ),
    "source twice": (3, "  wine-dev: {kind: mlflow, secret: x}", "3: the key 'wine-dev' stands twice"),
    "routes twice": (4, "routes: []\nroutes:", "5: the key 'routes' stands twice"),
    "option twice": (12, "          definition: 1\n          definition: 1", "13: the key 'definition' stands twice"),
    "open bracket": (6, "    when: {event: comment.created", "7: "),
    "tab": (2, "\twine-dev: {}", "2: found character '\\t'"),
    "placeholder without quotes": (14, "            modelName: {model} x", "14: "),
    "merge key": (2, "  wine-dev: {<<: {kind: mlflow}, secret: x}", "2: `<<` is not for this file"),
    "two documents": (17, "---\nx:\n  - name: second", "17: "),
    "key that is a list": (2, "  [a]: {kind: mlflow, secret: x}", "2: a key has to be a text"),
    "tag of Python": (5, "  - name: !!python/object/apply:os.system [ls]", "5: "),
    "tag of one's own": (5, "  - name: !secret first", "5: "),
    "tag on a mapping": (2, "  wine-dev: !secret {kind: mlflow, secret: x}", "2: "),
    "tag on a list": (19, "    steps: !steps [{slack: {url_secret: x, text: y}}]", "19: "),
    "unknown alias": (5, "  - name: *first", "5: found undefined alias"),
    "no such date": (5, "  - name: 2026-99-99", "5: "),
    "no such number": (5, "  - name: !!int x", "5: "),
    "no such bool": (5, "  - name: !!bool x", "5: "),
    "no such time": (5, "  - name: !!timestamp x", "5: "),
    "number of 5000 digits": (5, "  - name: " + "9" * 5000, "5: "),
    "set as a key": (2, "  !!set x: {kind: mlflow, secret: x}", "2: "),
    "a list in itself": (19, "    steps: &steps [*steps]", "19: "),
    "a mapping in itself": (6, "    when: &when {event: *when}", "6: "),
    "half a surrogate pair": (5, '  - name: "\\ud83d"', "5: "),
    "half a surrogate pair in an option": (8, SLACK % '"\\ude00"', "8: "),
}


@pytest.mark.parametrize(("line", "text", "prefix"), NOT_YAML.values(), ids=NOT_YAML.keys())
def test_what_is_not_plain_yaml_is_named_with_its_line(line: int, text: str, prefix: str) -> None:
    assert problems(changed(line, text))[0].startswith(f"routes.yaml:{prefix}")


@pytest.mark.parametrize("text", ["[" * 2000, "a: " + "[" * 1000 + "]" * 1000, "sources: \x01", "\x00"])
def test_what_no_yaml_can_hold_is_named(text: str) -> None:
    assert problems(text)[0].startswith("routes.yaml")


ANCHORS = """\
sources: {models: {kind: mlflow, secret: models-webhook}}
routes:
  - name: first
    when: {event: comment.created, model: &models [wine, beer]}
    steps: &steps [{slack: {url_secret: mlops-slack, text: "{model}"}}]
  - name: second
    when: &when {event: comment.created, model: *models}
    steps: *steps
"""


def test_an_alias_repeats_what_its_anchor_marks() -> None:
    first, second = read(ANCHORS).routes
    assert second.when == first.when
    assert second.steps == first.steps


def test_anchors_that_nest_are_refused_since_ten_lines_of_them_make_a_billion_values() -> None:
    (problem,) = problems(ANCHORS + "  - name: third\n    when: *when\n    steps: *steps\n")
    assert problem.startswith("routes.yaml:")
    assert "alias" in problem or "anchor" in problem


@pytest.mark.parametrize(
    "text",
    ["", "\n", "# nothing yet\n", "---\n", "null", "[]", "- sources", "hello", "5", "2026-11-20", "!!binary AAAA"],
)
def test_a_file_that_is_no_mapping_says_what_it_should_be(text: str) -> None:
    assert problems(text) == ["routes.yaml:1: the file: expected a mapping with `sources` and `routes`"]


@pytest.mark.parametrize("text", ["{}", "routes: []", "sources:", "sources: {}", "sources: []", "sources: x"])
def test_a_file_without_sources_says_how_one_looks(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("routes.yaml:1: sources: expected at least one source, such as `")


ALL_AT_ONCE = """\
sources:
  Wine: {kind: databricks, secret: wine-dev-webhook}
  beer: {kind: gitlab, secret: beer}
  models: {kind: mlflow, secret: a_b, max_age: soon}
extra: 1
routes:
  - name: First
    when: {event: comment.created, stage: Production}
    steps:
      - slak: {}
      - slack: {url_secret: "https://x", text: "{model}"}
      - teams: {text: x}
    on_failure: [{slack: {url_secret: x}}]
  - when: {event: comment.created}
  - name: third
    when: {event: comment.created, source: models, to_stage: Production}
    steps: [{slack: {url_secret: x, text: "{modle} {nmae}"}}]
  - name: third
    when: {event: coment.created}
    steps: [{azure_devops_release: {organization: "{model}", project: p, definition: 1}}]
"""


def test_all_mistakes_are_told_at_once() -> None:
    found = [problem.split(": ")[:2] for problem in problems(ALL_AT_ONCE)]
    assert sorted(map(tuple, found)) == sorted(
        [
            ("routes.yaml:2", "sources.Wine"),
            ("routes.yaml:3", "sources.beer.kind"),
            ("routes.yaml:4", "sources.models.secret"),
            ("routes.yaml:4", "sources.models.max_age"),
            ("routes.yaml:5", "extra"),
            ("routes.yaml:7", "routes[0].name"),
            ("routes.yaml:8", "routes[0].when.stage"),
            ("routes.yaml:10", "routes[0].steps[0]"),
            ("routes.yaml:11", "routes[0].steps[1].slack.url_secret"),
            ("routes.yaml:12", "routes[0].steps[2].teams"),
            ("routes.yaml:13", "routes[0].on_failure[0].slack"),
            ("routes.yaml:14", "routes[1]"),
            ("routes.yaml:16", "routes[2].when.to_stage"),
            ("routes.yaml:17", "routes[2].steps[0].slack.text"),
            ("routes.yaml:17", "routes[2].steps[0].slack.text"),
            ("routes.yaml:18", "routes[3].name"),
            ("routes.yaml:19", "routes[3].when.event"),
            ("routes.yaml:20", "routes[3].steps[0].azure_devops_release.organization"),
        ]
    )


def test_two_mistakes_in_one_mapping_are_both_told() -> None:
    found = problems(changed(8, "      - slack: {url_secret: x, text: y, color: red, colour: blue}"))
    assert [problem.split(": ")[1] for problem in found] == [
        "routes[0].steps[0].slack.color",
        "routes[0].steps[0].slack.colour",
    ]


def test_mistakes_come_in_the_same_order_each_time() -> None:
    found = problems("".join(f"{key}: 1\n" for key in "zyxwvutdcba") + GOOD)
    assert [problem.split(": ")[1] for problem in found] == [*"zyxwvutdcba"]
