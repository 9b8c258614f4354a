"""python -m services.collector serve [--only api|consumer] | migrate"""

import sys

from services.collector.app import build
from services.collector.settings import CollectorSettings
from shared.http.protocol import protocol_for
from shared.service.serving import run

if __name__ == "__main__":
    sys.exit(run("collector", build, CollectorSettings, protocol_for))
