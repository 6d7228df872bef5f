import pytest
from tests.flows.steps.tiny import Tiny, write_tiny

from twofold.core import Dataset


@pytest.fixture(scope="session")
def tiny(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("steps"), dataset)
