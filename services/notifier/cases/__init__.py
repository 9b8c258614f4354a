"""A case of an unhappy customer, from the answer that opens it to the outcome that closes it.

What answers do to cases: `handlers.py` applies a batch, `deciding.py` decides by the rules, `recording.py`
writes. What people do: `casework.py` applies an action, `refusals.py` says why not. `jobs.py` is the clock.
In `domain/`: `case.py` (states, deadlines), `rules.py` (which answer opens a case), `reactions.py`
(what another answer does: join, reopen), `actions.py` (what people do), `clocks.py` (business hours),
`policy.py` (escalation and teams), `answers.py` (one answer from its revisions).

A new action on a case is added in this order:

1. `domain/case.py`: its name in `Action`, and in `ALLOWED` the states in which it is possible;
2. `domain/actions.py`: its class, with what it does to a case;
3. the API: its body in `api/bodies.py`, a line of `_ACTIONS` in `api/routes.py`;
4. the page: a reader of its form in `inbox/forms.py`, the form in `templates/case_forms.html`;
5. its line of the history in `inbox/history.py`, and in `inbox/bulk.py` what it says for many cases at once.
"""
