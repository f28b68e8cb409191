"""The OpenAPI document is true: what the server answers has the schemas that it tells.

Random bodies go to every endpoint. None makes the server fail, and each answer has its schema.
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.test_serve.servers import JSON, served

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["a", "calm", "wrong", "data:image/png;base64,AAAA", "../..", "\ud800"])
    | st.just("~nobody"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["question", "message", "rows", "__proto__"]), inner),
    max_leaves=6,
)  # fmt: skip
names = st.sampled_from(
    ["question", "message", "most", "history", "picture", "words", "weight", "model", "messages",
     "input", "stream", "n", "rows", "jsonrpc", "method", "params", "id", "x"]
)  # fmt: skip
bodies = st.one_of(
    st.dictionaries(names, values, max_size=4),
    st.builds(lambda m: {"message": m}, st.text(max_size=20)),
    st.builds(lambda w, n: {"words": w, "weight": n}, st.lists(st.text()), st.floats()),
    st.builds(lambda q: {"rows": [{"question": q}, {"message": q}]}, values),
    st.builds(
        lambda m, c: {"model": m, "messages": [{"role": "user", "content": c}]},
        st.sampled_from(["desk", "desk/sort", "desk/talk", "x"]),
        st.text(max_size=9) | values,
    ),
    values,
)
PATHS = [
    *(f"/{kind}/{name}" for kind in ("run", "batch", "jobs") for name in ("main", "sort", "count")),
    *("/run/talk", "/run/look", "/v1/chat/completions", "/v1/embeddings", "/mcp"),
    *("/run/%2e%2e", "/run/desk/main", "/run/__class__", "/jobs/x/y/z", "/run/main%00"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    with served(folder, jobs=folder / "jobs.db", timeout_s=30) as client:
        client.post("/mcp", json={}, timeout=100)  # which imports its package
        yield client


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def checker(document, schema):
    return Draft202012Validator({**schema, "components": document["components"]})


def refs(part):
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from refs(one)


def test_the_document_is_whole(document):
    assert document["openapi"].startswith("3.1")
    for ref in refs(document):
        place = document
        for name in ref.removeprefix("#/").split("/"):
            place = place[name]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    ids = [
        operation.get("operationId")
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    named = [id for id in ids if id]
    assert len(named) == len(set(named)) == 18


def schema_of(document, path, status):
    name = path.replace("/desk/main", "/main")
    responses = document["paths"].get(name, {}).get("post", {}).get("responses", {})
    found = responses.get(str(status))
    return found["content"]["application/json"]["schema"] if found else None


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), body=bodies)
def test_any_body_gets_an_answer_of_its_schema(client, document, path, body):
    got = client.post(path, content=json.dumps(body).encode("utf-8", "replace"), headers=JSON)
    assert got.status_code < 600 and "Traceback" not in got.text
    if got.headers["content-type"] == "application/problem+json":
        problem = got.json()
        checker(document, document["components"]["schemas"]["Problem"]).validate(problem)
        assert problem["status"] == got.status_code and problem["slug"] != "internal-error"
    elif path.startswith("/v1/") and got.status_code >= 400:
        assert got.json()["error"]["code"] != "internal-error"
        if told := document["paths"].get(path):
            content = told["post"]["responses"]["default"]["content"]
            checker(document, content["application/json"]["schema"]).validate(got.json())
    elif (schema := schema_of(document, path, got.status_code)) is not None:
        checker(document, schema).validate(got.json())
    elif "/mcp" not in path and "/v1/" not in path:
        raise AssertionError((path, got.status_code, got.text))


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=60))
def test_any_bytes_are_refused_or_answered(client, body):
    for path in ("/run/main", "/v1/chat/completions", "/mcp"):
        got = client.post(path, content=body, headers={**JSON, "accept": "text/event-stream"})
        assert got.status_code < 500


def test_results_have_their_schemas(client, document):
    for name, inputs in (("sort", {"message": "m"}), ("count", {"words": []})):
        got = client.post(f"/run/{name}", json=inputs)
        checker(document, schema_of(document, f"/run/{name}", 200)).validate(got.json())
