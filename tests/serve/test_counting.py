"""What the API says of a catalogue: columns, counts for filters, users, and attributes beside picks."""

from collections import Counter

from tests.serve.conftest import Caller

from twofold.core import Pipeline


def test_the_catalogue_names_its_columns(steady: Caller, fitted: Pipeline) -> None:
    told = steady("GET", "/catalogue").json()
    assert told["items"] == len(fitted.dataset.items)
    kinds = {column["name"]: column["kind"] for column in told["columns"]}
    assert kinds == {
        "item": "text",
        "title": "text",
        "text": "text",
        "categories": "list",
        "year": "number",
        "price": "number",
    }


def test_facets_count_what_matches(steady: Caller, fitted: Pipeline) -> None:
    items = fitted.dataset.items
    told = steady.post("/facets")
    facets = {facet["column"]: facet for facet in told["facets"]}
    assert told["matches"] == len(items)
    assert list(facets) == ["categories", "year", "price"]
    expected = Counter(name for row in items["categories"] for name in row)
    assert {one["value"]: one["count"] for one in facets["categories"]["values"]} == expected
    counts = [one["count"] for one in facets["categories"]["values"]]
    assert counts == sorted(counts, reverse=True)
    assert (facets["price"]["low"], facets["price"]["high"]) == (items["price"].min(), items["price"].max())


def test_a_filter_leaves_the_counts_of_its_own_column(steady: Caller, fitted: Pipeline) -> None:
    items = fitted.dataset.items
    category = items["categories"][0][0]
    within = [row for row in items.iter_rows(named=True) if category in row["categories"]]
    told = steady.post("/facets", filters={"categories": [category]})
    facets = {facet["column"]: facet for facet in told["facets"]}
    assert told["matches"] == len(within)
    assert len(facets["categories"]["values"]) == len({name for row in items["categories"] for name in row})
    assert facets["year"]["low"] == min(row["year"] for row in within)


def test_facets_of_a_text(steady: Caller, fitted: Pipeline) -> None:
    word = max(fitted.dataset.items["title"][0].split(), key=len)
    told = steady.post("/facets", text=word, columns=["title"], k=1)
    assert 1 <= told["matches"] < len(fitted.dataset.items)
    assert [(facet["column"], len(facet["values"])) for facet in told["facets"]] == [("title", 1)]
    assert steady.post("/facets", text="qqqqqqqqqq")["matches"] == 0
    wrong = steady("POST", "/facets", json={"columns": ["colour"]})
    assert wrong.status_code == 422
    assert "no item has a column 'colour'" in wrong.json()["detail"]


def test_hidden_items_are_not_counted(call: Caller, fitted: Pipeline) -> None:
    call("DELETE", f"/items/{fitted.dataset.item_ids.ids[0]}")
    assert call.post("/facets")["matches"] == len(fitted.dataset.items) - 1


def test_users_are_found_by_the_beginning_of_their_ids(steady: Caller) -> None:
    assert steady("GET", "/users", params={"text": "user-003", "k": 3}).json() == {
        "users": ["user-0030", "user-0031", "user-0032"]
    }
    assert steady("GET", "/users", params={"text": ".*"}).json() == {"users": []}


def test_a_slate_comes_with_the_columns_that_are_asked_for(steady: Caller, fitted: Pipeline) -> None:
    slate = steady.post("/trending", k=3, show=["categories", "year", "year"])["slate"]
    rows = {row.pop("item"): row for row in fitted.dataset.items.select("item", "categories", "year").to_dicts()}
    assert slate["attributes"] == [rows[pick["item"]] for pick in slate["picks"]]
    assert steady.post("/trending", k=3)["slate"]["attributes"] == []
    assert steady("POST", "/trending", json={"show": ["colour"]}).status_code == 422


def test_the_dial_makes_a_list_more_varied(steady: Caller, fitted: Pipeline) -> None:
    def kinds(diversity: float) -> int:
        slate = steady.post("/trending", k=8, show=["categories"], diversity=diversity)["slate"]
        assert len(slate["picks"]) == 8
        return len({tuple(sorted(row["categories"])) for row in slate["attributes"]})

    assert steady.picks("/trending", k=8, diversity=0) == steady.picks("/trending", k=8)
    assert steady.picks("/trending", k=8, diversity=1)[0] == steady.picks("/trending", k=1)[0]
    assert kinds(1.0) > kinds(0.0)
    allowed = {"categories": [fitted.dataset.items["categories"][0][0]]}
    narrow = steady.post("/trending", k=8, diversity=1, filters=allowed, show=["categories"])["slate"]
    assert all(set(allowed["categories"]) & set(row["categories"]) for row in narrow["attributes"])


def test_like_and_dismiss_change_the_next_slate(call: Caller) -> None:
    shown = call.picks("/recommend", user="somebody new", k=6)
    call.post("/events", kind="dismiss", item=shown[0], user="somebody new")
    after = call.post("/recommend", user="somebody new", k=6)["slate"]["picks"]
    # Not wanted again, and nothing said of taste: the rest stays as it was.
    assert [pick["item"] for pick in after][:5] == shown[1:]
    assert {pick["reason"] for pick in after} == {"popular now"}
    call.post("/events", kind="like", item=shown[1], user="somebody new")
    liked = call.post("/recommend", user="somebody new", k=6)["slate"]["picks"]
    assert shown[1] not in [pick["item"] for pick in liked]
    assert any(pick["reason"].startswith("because of") for pick in liked)
