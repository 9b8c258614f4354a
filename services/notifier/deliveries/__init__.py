"""The queue of alerts: what is to be sent, claimed, held and tried again. It knows a case by its id only."""
