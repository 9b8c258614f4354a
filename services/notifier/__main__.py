"""python -m services.notifier serve [--only api|consumer] | migrate"""

import sys

from services.notifier.app import build
from services.notifier.settings import NotifierSettings
from shared.http.protocol import protocol_for
from shared.service.serving import run

if __name__ == "__main__":
    sys.exit(run("notifier", build, NotifierSettings, protocol_for))
