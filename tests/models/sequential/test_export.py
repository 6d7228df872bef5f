import numpy as np
import onnxruntime as ort
import pytest
import torch

from twofold.core import Histories
from twofold.models.sequential import SequentialConfig
from twofold.models.sequential.events import blocks
from twofold.models.sequential.export import as_onnx
from twofold.models.sequential.network import Known, Network

LISTS = [[3], [1, 2, 3, 4, 5, 6, 7], [8, 2, 4], [0, 0]]


@pytest.mark.parametrize("objective", ["causal", "masked"])
@pytest.mark.parametrize("features", [True, False])
def test_the_graph_says_what_torch_says(objective, features) -> None:
    config = SequentialConfig(width=16, heads=2, layers=3, length=8, objective=objective)
    torch.manual_seed(4)
    network = Network(config, Known(counts=np.ones(9, np.float32), gaps=features, values=features)).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.3)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    session = ort.InferenceSession(as_onnx(config, weights), providers=["CPUExecutionProvider"])
    assert {node.name for node in session.get_inputs()} == (
        {"vectors", "lengths", "gaps", "values"} if features else {"vectors", "lengths"}
    )
    log = Histories.from_lists(LISTS)
    log = Histories(
        indptr=log.indptr,
        items=log.items,
        values=np.linspace(-1, 1, len(log.items), dtype=np.float32),
        timestamps=np.cumsum(np.arange(1, len(log.items) + 1) ** 5).astype(np.int64),
    )
    for size in (1, 4):
        for _, events in blocks(log, size):
            vectors = weights["ids"][events.items]
            given = {"vectors": vectors, "lengths": events.lengths}
            given |= {"gaps": events.gaps, "values": events.values} if features else {}
            with torch.no_grad():
                inputs = (torch.from_numpy(part) for part in (vectors, events.gaps, events.values, events.lengths))
                expected = network(*inputs)[torch.arange(len(vectors)), torch.from_numpy(events.lengths) - 1]
            np.testing.assert_allclose(session.run(None, given)[0], expected.numpy(), atol=1e-4)


def test_padding_changes_nothing() -> None:
    config = SequentialConfig(width=8, length=8, objective="masked")
    torch.manual_seed(4)
    network = Network(config, Known(counts=np.ones(9, np.float32))).eval()
    vectors = torch.randn(1, 5, 8)
    none = torch.zeros(1, 5, dtype=torch.int64)
    with torch.no_grad():
        whole = network(vectors, none, none, torch.tensor([3]))
        cut = network(vectors[:, :3], none[:, :3], none[:, :3], torch.tensor([3]))
    np.testing.assert_allclose(whole[:, :3].numpy(), cut.numpy(), atol=1e-6)
