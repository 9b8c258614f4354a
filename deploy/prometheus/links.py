"""Where an alert's page is. The base is replaced by whoever serves the pages elsewhere."""

RUNBOOKS = "https://github.com/closeloop/closeloop/blob/main/docs/runbooks"


def runbook_url(alert: str) -> str:
    return f"{RUNBOOKS}/{alert}.md"
