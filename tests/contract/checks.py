"""What every answer must have, whatever the document says of it."""

import schemathesis


@schemathesis.check
def refusals_say_when_to_come_back(context, response, case):
    if response.status_code == 503:
        assert "retry-after" in response.headers, "503 without Retry-After"


@schemathesis.check
def waiting_ends_only_by_the_clients_own_limits(context, response, case):
    if response.status_code == 504:
        assert any(code in response.text for code in ("deadline_exceeded", "wait_timeout")), "504 for another reason"


@schemathesis.check
def answers_have_a_name_and_are_not_sniffed(context, response, case):
    assert "x-request-id" in response.headers, "no X-Request-Id"
    assert response.headers.get("x-content-type-options") == ["nosniff"], "no X-Content-Type-Options"
