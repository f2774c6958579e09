# SPDX-License-Identifier: MIT
"""Each test runs on each backend, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import unishm

NAME = "unishm test of the Python module"


@pytest.fixture(autouse=True, params=unishm.backends())
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("UNISHM_BACKEND", request.param)
    yield request.param
    try:
        with unishm.Segment(NAME) as rest:
            rest.remove()
    except FileNotFoundError:
        return
    pytest.fail("the test left its segment")


@pytest.fixture
def segment(backend: str) -> Iterator[unishm.Segment]:
    with unishm.Segment(NAME, create=True, exclusive=True, size=1000) as made:
        try:
            yield made
        finally:
            made.remove()
