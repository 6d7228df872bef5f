"""The API against its own description: requests that are made from it, right ones and wrong ones, in this process."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from twofold.serve.app import create_app
from twofold.serve.description import describe
from twofold.serve.operations import OPERATIONS, Operation
from twofold.serve.settings import Settings

EXAMPLES = 20
CHECKS = ("not_a_server_error", "content_type_conformance", "response_schema_conformance", "status_code_conformance")
MODES = {"positive": CHECKS, "negative": (*CHECKS, "negative_data_rejection")}


@pytest.fixture(scope="module")
def schema(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis, of the extra dev, is not installed")
    from schemathesis.python.asgi import shutdown_lifespans

    described = deepcopy(describe())
    for operations in described["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)  # without keys anybody may ask, and no header is a wrong one
    schema = schemathesis.openapi.from_dict(described)
    schema.app = create_app(Settings(artifact=artifact, events=tmp_path_factory.mktemp("schema") / "events.db"))
    yield schema
    shutdown_lifespans()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_answer_is_one_that_the_description_foretells(schema: Any, operation: Operation, mode: str) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import CHECKS as KNOWN
    from schemathesis.checks import load_all_checks

    if mode == "negative" and operation.asks is None and "{" not in operation.path:
        pytest.skip("takes nothing that could be wrong")
    load_all_checks()
    checks = KNOWN.get_by_names(MODES[mode])
    described = schema[operation.path][operation.method]

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(described.as_strategy(generation_mode=GenerationMode(mode)))
    def throw(case: Any) -> None:
        response = case.call(base_url="http://127.0.0.1")
        assert "Traceback" not in response.text
        case.validate_response(response, checks=checks)

    throw()
