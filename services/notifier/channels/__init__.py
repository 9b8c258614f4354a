"""Where alerts go, and how they are sent.

`sending.py` is the loop; `composing.py` reads the messages (`message.py`) of what it claims; `wording.py` has
the words of every message, and `slack.py`, `mail.py` and `webhook.py` give them the form of each channel.
`lanes.py` says what each channel can send now, `outlets.py` and `http.py` make the attempt, `api.py` shows
deliveries and channels, and `restore_check.py` holds deliveries after a restore.
"""
