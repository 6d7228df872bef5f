"""What others would put behind FastAPI: `implicit` for recommendations, sentence-transformers with faiss for search.

`python -m benchmarks.http_peers NAME FOLDER` serves one of them with two workers. As fast as is usual: uvicorn with
uvloop and httptools, coroutines, JSON by orjson, answers that no model checks, one thread a worker.
"""

import json
import os
import socket
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from twofold.core import Dataset, Pipeline
from twofold.models.recommender import like_matrix

__all__ = ["prepare_recommend", "prepare_search", "recommend", "recommend_anew", "recommend_kept", "search"]

FOLDER = "TWOFOLD_PEER"
ALS = {"factors": 64, "regularization": 0.05, "iterations": 15}


def prepare_recommend(dataset: Dataset, folder: Path) -> None:
    """Fit implicit's ALS on the likes, and save it."""
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415  a peer is imported when it runs

    likes = like_matrix(dataset.log.likes(), len(dataset.items))
    model = AlternatingLeastSquares(random_state=0, num_threads=1, **ALS)
    model.fit(likes, show_progress=False)
    model.save(folder / "als.npz")
    sp.save_npz(folder / "likes.npz", likes)
    _save_names(dataset, folder)


def prepare_search(pipeline: Pipeline, folder: Path, model: Path) -> None:
    """Save the vectors of the items that the pipeline made of the same model, as a flat index takes them."""
    encoder = next(iter(pipeline.encoders.values()))
    np.save(folder / "vectors.npy", np.asarray(encoder.vectors, np.float32))
    (folder / "model.txt").write_text(str(model), encoding="utf-8")
    _save_names(pipeline.dataset, folder)


def _save_names(dataset: Dataset, folder: Path) -> None:
    names = {"ids": dataset.item_ids.ids.to_list(), "titles": dataset.items["title"].to_list()}
    (folder / "names.json").write_text(json.dumps(names | {"users": dataset.user_ids.ids.to_list()}), encoding="utf-8")


def recommend(*, anew: bool = False, keep: bool = False) -> Any:
    """Make the application that recommends.

    Args:
        anew: whether factors of the user are made anew for each answer.
        keep: whether answers are kept, for ever.
    """
    import orjson  # noqa: PLC0415
    from fastapi import FastAPI, Response  # noqa: PLC0415
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415
    from pydantic import BaseModel  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    threadpool_limits(1)
    folder = Path(os.environ[FOLDER])
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    users = {user: row for row, user in enumerate(names["users"])}
    model = AlternatingLeastSquares.load(str(folder / "als.npz"))
    likes = sp.load_npz(folder / "likes.npz").tocsr()
    app = FastAPI()

    class Ask(BaseModel):
        user: int
        k: int = 10

    def found(user: int, k: int) -> bytes:
        row = users[user]
        items, scores = model.recommend(row, likes[row], N=k, recalculate_user=anew)
        return orjson.dumps(_picks(names, items, scores))

    if keep:
        found = lru_cache(maxsize=None)(found)

    async def answer(ask: Ask) -> Response:
        return Response(found(ask.user, ask.k), media_type="application/json")

    app.post("/recommend")(answer)
    return app


def recommend_anew() -> Any:
    """Make the application that recommends by what is known of a user now."""
    return recommend(anew=True)


def recommend_kept() -> Any:
    """Make the application that recommends what it did the first time."""
    return recommend(keep=True)


def search() -> Any:
    """Make the application that searches."""
    import faiss  # noqa: PLC0415
    import orjson  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from fastapi import FastAPI, Response  # noqa: PLC0415
    from pydantic import BaseModel  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    folder = Path(os.environ[FOLDER])
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    model = SentenceTransformer((folder / "model.txt").read_text(encoding="utf-8"), device="cpu")
    vectors = np.load(folder / "vectors.npy")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    app = FastAPI()

    class Ask(BaseModel):
        text: str
        k: int = 10

    async def answer(ask: Ask) -> Response:
        vector = model.encode([ask.text], normalize_embeddings=True, show_progress_bar=False)
        scores, found = index.search(vector, ask.k)
        return Response(orjson.dumps(_picks(names, found[0], scores[0])), media_type="application/json")

    app.post("/search")(answer)
    return app


def _picks(names: dict[str, Any], found: Any, scores: Any) -> dict[str, Any]:
    rows = zip(found.tolist(), scores.tolist(), strict=True)
    return {
        "picks": [{"item": names["ids"][row], "title": names["titles"][row], "score": score} for row, score in rows]
    }


def main(name: str, folder: str) -> None:
    """Serve one of them until a signal says to stop."""
    import uvicorn  # noqa: PLC0415
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    os.environ[FOLDER] = folder
    bound = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    bound.set_inheritable(True)
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    app = f"benchmarks.http_peers:{name}"
    config = uvicorn.Config(
        app,
        factory=True,
        workers=2,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_worker_healthcheck=300,
        timeout_keep_alive=75,
    )
    Multiprocess(config, [bound]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
