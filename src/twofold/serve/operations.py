"""The operations of the API: a list from which both the routes and their description are made."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import msgspec
from starlette.requests import Request

from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.core.query import Query
from twofold.core.scores import Mask
from twofold.serve import wire
from twofold.serve.access import may
from twofold.serve.beside import Directed
from twofold.serve.counting import check_columns, count, describe_catalogue, find_users, shown
from twofold.serve.experimenting import list_experiments, start, stop
from twofold.serve.experiments import RESERVED
from twofold.serve.explaining import explain
from twofold.serve.hearing import heard
from twofold.serve.keys import Role
from twofold.serve.live import item_rows
from twofold.serve.operating import about_artifact, list_artifacts, promote_artifact, roll_back
from twofold.serve.problems import Refusal
from twofold.serve.server import Server

__all__ = ["OPERATIONS", "Operation"]

AHEAD = 86_400_000
"""Milliseconds by which a caller's clock may be ahead. All that is popular ages by the newest event: one of the far
future would make everything else count nothing."""

Handler = Callable[[Server, Request, Any], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the API."""

    name: str
    method: str
    path: str
    handler: Handler
    answer: type
    role: Role | None = "read"
    """Who may do it; None lets anybody."""
    asks: type | None = None
    """What the body holds, or for a GET the query string."""

    @property
    def summary(self) -> str:
        """The first sentence of what the handler says of itself."""
        return (self.handler.__doc__ or "").split("\n", maxsplit=1)[0]


@runtime_checkable
class Completes(Protocol):
    """A retriever that completes what is being typed."""

    def suggest(self, prefix: str, k: int, allowed: Mask | None) -> list[str]:
        """Return up to k titles."""
        ...


async def search(server: Server, request: Request, ask: wire.Search) -> wire.Served:
    """Find items by words."""
    more = {"text": ask.text, "user": ask.user, "history": ask.history, "repeat": ask.repeat}
    return await _served(server, request, ask, more)


async def recommend(server: Server, request: Request, ask: wire.Recommend) -> wire.Served:
    """Recommend items to a user, known or new."""
    return await _served(server, request, ask, {"user": ask.user, "history": ask.history, "repeat": ask.repeat})


async def similar(server: Server, request: Request, ask: wire.Similar) -> wire.Served:
    """Find items like the given ones."""
    return await _served(server, request, ask, {"items": ask.items, "user": ask.user, "repeat": ask.repeat})


async def trending(server: Server, request: Request, ask: wire.Trending) -> wire.Served:
    """Say what many people like now."""
    return await _served(server, request, ask, {})


async def suggest(server: Server, _: Request, ask: wire.Suggest) -> wire.Suggestions:
    """Complete what is being typed to titles."""
    pipeline = server.live.pipeline
    stages = [stage for stage in pipeline.retrievers.values() if isinstance(stage, Completes)]
    if not stages:
        return wire.Suggestions(titles=[])
    return wire.Suggestions(titles=await asyncio.to_thread(stages[0].suggest, ask.text, ask.k, pipeline.available))


async def facets(server: Server, _: Request, ask: wire.Count) -> wire.Facets:
    """Count what items that match are like, for filters."""
    return await asyncio.to_thread(count, server.live.pipeline, ask)


async def catalogue(server: Server, _: Request, __: None) -> wire.Catalogue:
    """Say what is known of items, by column."""
    return describe_catalogue(server.live.pipeline.dataset)


async def users(server: Server, _: Request, ask: wire.FindUsers) -> wire.Users:
    """Find users by the beginning of their ids."""
    return wire.Users(users=await asyncio.to_thread(find_users, server.live.pipeline.dataset, ask.text, ask.k))


async def artifact(server: Server, _: Request, __: None) -> wire.About:
    """Say how the artifact that answers was made, and how good it is."""
    return about_artifact(server.answering)


async def artifacts(server: Server, _: Request, __: None) -> wire.Candidates:
    """List the artifacts that could answer."""
    return await asyncio.to_thread(list_artifacts, server.settings.artifact)


async def promote(server: Server, _: Request, ask: wire.Promote) -> wire.Promoted:
    """Let another artifact answer, in all workers and without a failed request."""
    return await asyncio.to_thread(promote_artifact, server.settings.artifact, ask.folder)


async def rollback(server: Server, _: Request, ask: wire.Rollback) -> wire.Promoted:
    """Let the artifact before answer again."""
    return await asyncio.to_thread(roll_back, server.settings.artifact, ask.artifact)


async def explain_item(server: Server, _: Request, ask: wire.Explain) -> wire.Explanation:
    """Say why an item would be in a slate, or would not."""
    query = Query(text=ask.text, user=ask.user, history=ask.history, items=ask.items)
    return await asyncio.to_thread(explain, server.live.pipeline, query, ask.item)


async def record_event(server: Server, _: Request, ask: wire.Feedback) -> wire.Accepted:
    """Store what somebody did; a repeated id changes nothing."""
    return await _record(server, [ask])


async def record_events(server: Server, _: Request, ask: wire.Batch) -> wire.Accepted:
    """Store what people did, all of it or nothing; repeated ids change nothing."""
    return await _record(server, ask.events)


async def put_item(server: Server, request: Request, ask: wire.ItemPatch) -> wire.Accepted:
    """Add an item, or say what is new about one; it is found within a second."""
    events = [Event(kind="item", item=_id(request), attributes=ask.attributes)]
    dataset = server.live.pipeline.dataset
    await asyncio.to_thread(lambda: dataset.with_items(item_rows(dataset, events)))
    if not ask.available:
        events.append(Event(kind="item-removed", item=_id(request)))
    await server.record(events)
    return wire.Accepted(ids=[event.id for event in events])


async def remove_item(server: Server, request: Request, _: None) -> wire.Accepted:
    """Take an item off every path."""
    return await _recorded(server, Event(kind="item-removed", item=_id(request)))


async def show_item(server: Server, request: Request, _: None) -> wire.Item:
    """Say what is known of an item."""
    pipeline = server.live.pipeline
    code = pipeline.dataset.item_ids.find(_id(request))
    if code < 0:
        raise Refusal(404, "there is no such item; add it with PUT.")
    row = pipeline.dataset.items.row(code, named=True)
    available = pipeline.available is None or bool(pipeline.available[code])
    return wire.Item(item=row.pop("item"), available=available, attributes=row)


async def put_user(server: Server, request: Request, ask: wire.UserPatch) -> wire.Accepted:
    """Add a user, or say what is new about one."""
    return await _recorded(server, Event(kind="user", user=_id(request), attributes=ask.attributes))


async def remove_user(server: Server, request: Request, _: None) -> wire.Accepted:
    """Forget what a user did and what is said of them, in all answers from now on."""
    return await _recorded(server, Event(kind="user-removed", user=_id(request)))


async def show_user(server: Server, request: Request, _: None) -> wire.User:
    """Say what is known of a user; of one who was never heard of, nothing."""
    user, live = _id(request), server.live
    return wire.User(user=user, attributes=live.about_user(user), events=len(live.events_of(user).items))


async def health(server: Server, request: Request, _: None) -> wire.Health:
    """Say how the server is; what the trouble is, where there are keys, only to one of role `admin`."""
    found = await asyncio.to_thread(server.health)
    if found.trouble is None or may(server, request, "admin"):
        return found
    return msgspec.structs.replace(found, trouble="something is wrong; ask with a key of role admin, or see the log.")


async def ready(server: Server, request: Request, _: None) -> wire.Health:
    """Say whether the server should get requests: 503 while it is behind with events."""
    found = await health(server, request, None)
    if found.status != "ok":
        raise Refusal(503, f"this worker is {found.behind:,} events behind; ask another one.", {"Retry-After": "1"})
    return found


async def ladder(server: Server, _: Request, __: None) -> wire.Ladder:
    """Show the steps of the ladder, and the one in use."""
    return server.ladder()


async def experiments(server: Server, _: Request, __: None) -> wire.Experiments:
    """List experiments with their figures, the newest first."""
    return await asyncio.to_thread(list_experiments, server)


async def start_experiment(server: Server, _: Request, ask: wire.StartExperiment) -> wire.Figures:
    """Compare arms on what is served from now on; the first arm is the control."""
    return await start(server, ask)


async def stop_experiment(server: Server, request: Request, _: wire.StopExperiment) -> wire.Figures:
    """Stop an experiment; what was shown and done stays in its figures."""
    return await stop(server, cast(str, request.path_params["name"]))


async def _served(server: Server, request: Request, ask: wire.Asked, more: Mapping[str, Any]) -> wire.Served:
    user: Id | None = more.get("user")
    assigned = server.assign(user, ask.session)
    if ask.show:
        check_columns(server.live.pipeline.dataset, ask.show)
    kind = Query if assigned.artifact is None else partial(Directed, artifact=assigned.artifact)
    query = kind(
        k=ask.k,
        diversity=ask.diversity or assigned.diversity or 0.0,
        filters=ask.filters,
        exclude=ask.exclude,
        priority=ask.priority,
        deadline_ms=ask.deadline_ms,
        **more,
    )
    slate = server.find(query)
    if slate is None:
        asked = server.ask(query)
        # Only what has to wait can be dropped in time, and only then is it worth listening for a caller that hangs up.
        slate = await (heard(request, asked) if server.questions.busy else asked)
    live = server.live_of(assigned)
    if assigned.arms or ask.show:
        slate = replace(
            slate,
            arms={one.experiment: one.arm for one in assigned.arms},
            attributes=shown(live.pipeline.dataset, slate, ask.show),
        )
    if assigned.arms or server.settings.log_slates:
        server.log_slate(slate, live, user, assigned)
    return wire.Served(slate=slate, artifact=live.name)


async def _recorded(server: Server, event: Event) -> wire.Accepted:
    await server.record([event])
    return wire.Accepted(ids=[event.id])


async def _record(server: Server, given: list[wire.Feedback]) -> wire.Accepted:
    events, latest = [], time.time_ns() // 1_000_000 + AHEAD
    for one in given:
        if one.timestamp is not None and one.timestamp > latest:
            raise Refusal(422, f"an event cannot be at {one.timestamp}, which is yet to come; mend the sender's clock.")
        if one.id is not None and one.id.startswith(RESERVED):
            raise Refusal(422, f"ids that begin with {RESERVED} are the server's own; give the event another id.")
        own: Mapping[str, Any] = {
            name: value for name in ("timestamp", "id") if (value := getattr(one, name)) is not None
        }
        event = Event(kind=one.kind, item=one.item, user=one.user, value=one.value, slate=one.slate, **own)
        events.append(event)
    await server.record(events)
    return wire.Accepted(ids=[event.id for event in events])


def _id(request: Request) -> Id:
    id_ = cast(str, request.path_params["id"])
    if not 1 <= len(id_) <= 200:
        raise Refusal(422, "an id has 1 to 200 characters; give a shorter one.")
    return id_


OPERATIONS = (
    Operation(name="search", method="POST", path="/search", handler=search, asks=wire.Search, answer=wire.Served),
    Operation(
        name="recommend", method="POST", path="/recommend", handler=recommend, asks=wire.Recommend, answer=wire.Served
    ),
    Operation(name="similar", method="POST", path="/similar", handler=similar, asks=wire.Similar, answer=wire.Served),
    Operation(
        name="trending", method="POST", path="/trending", handler=trending, asks=wire.Trending, answer=wire.Served
    ),
    Operation(
        name="suggest", method="GET", path="/suggest", handler=suggest, asks=wire.Suggest, answer=wire.Suggestions
    ),
    Operation(name="facets", method="POST", path="/facets", handler=facets, asks=wire.Count, answer=wire.Facets),
    Operation(name="catalogue", method="GET", path="/catalogue", handler=catalogue, answer=wire.Catalogue),
    Operation(
        name="explain", method="POST", path="/explain", handler=explain_item, asks=wire.Explain, answer=wire.Explanation
    ),
    Operation(
        name="record_event",
        method="POST",
        path="/events",
        handler=record_event,
        role="event",
        asks=wire.Feedback,
        answer=wire.Accepted,
    ),
    Operation(
        name="record_events",
        method="POST",
        path="/events/batch",
        handler=record_events,
        role="event",
        asks=wire.Batch,
        answer=wire.Accepted,
    ),
    Operation(name="show_item", method="GET", path="/items/{id}", handler=show_item, answer=wire.Item),
    Operation(
        name="put_item",
        method="PUT",
        path="/items/{id}",
        handler=put_item,
        role="admin",
        asks=wire.ItemPatch,
        answer=wire.Accepted,
    ),
    Operation(
        name="remove_item",
        method="DELETE",
        path="/items/{id}",
        handler=remove_item,
        role="admin",
        answer=wire.Accepted,
    ),
    Operation(
        name="find_users",
        method="GET",
        path="/users",
        handler=users,
        role="admin",
        asks=wire.FindUsers,
        answer=wire.Users,
    ),
    Operation(name="show_user", method="GET", path="/users/{id}", handler=show_user, role="admin", answer=wire.User),
    Operation(
        name="put_user",
        method="PUT",
        path="/users/{id}",
        handler=put_user,
        role="admin",
        asks=wire.UserPatch,
        answer=wire.Accepted,
    ),
    Operation(
        name="remove_user",
        method="DELETE",
        path="/users/{id}",
        handler=remove_user,
        role="admin",
        answer=wire.Accepted,
    ),
    Operation(name="health", method="GET", path="/health", handler=health, role=None, answer=wire.Health),
    Operation(name="ready", method="GET", path="/ready", handler=ready, role=None, answer=wire.Health),
    Operation(name="ladder", method="GET", path="/ladder", handler=ladder, answer=wire.Ladder),
    Operation(name="artifact", method="GET", path="/artifact", handler=artifact, role="admin", answer=wire.About),
    Operation(
        name="artifacts", method="GET", path="/artifacts", handler=artifacts, role="admin", answer=wire.Candidates
    ),
    Operation(
        name="promote",
        method="POST",
        path="/promote",
        handler=promote,
        role="admin",
        asks=wire.Promote,
        answer=wire.Promoted,
    ),
    Operation(
        name="rollback",
        method="POST",
        path="/rollback",
        handler=rollback,
        role="admin",
        asks=wire.Rollback,
        answer=wire.Promoted,
    ),
    Operation(
        name="experiments",
        method="GET",
        path="/experiments",
        handler=experiments,
        role="admin",
        answer=wire.Experiments,
    ),
    Operation(
        name="start_experiment",
        method="POST",
        path="/experiments",
        handler=start_experiment,
        role="admin",
        asks=wire.StartExperiment,
        answer=wire.Figures,
    ),
    Operation(
        name="stop_experiment",
        method="POST",
        path="/experiments/{name}/stop",
        handler=stop_experiment,
        role="admin",
        asks=wire.StopExperiment,
        answer=wire.Figures,
    ),
)
