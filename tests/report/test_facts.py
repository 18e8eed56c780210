import pytest
from pydantic import ValidationError
from tests.report.examples import run_facts

from byheart.report.facts import RunFacts


def test_facts_survive_json() -> None:
    assert RunFacts.model_validate_json(run_facts().model_dump_json()) == run_facts()


def test_facts_survive_json_with_any_class_name() -> None:
    facts = run_facts(classes=("</script>", "naïve\u2028", '"', "😀"))
    assert RunFacts.model_validate_json(facts.model_dump_json()) == facts


def test_an_outcome_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="outcomes"):
        run_facts(outcomes={"exploded": 1})
