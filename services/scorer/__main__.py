"""python -m services.scorer serve [--only api|consumer] | migrate"""

import sys

from services.scorer.app import build
from services.scorer.settings import ScorerSettings
from shared.http.protocol import protocol_for
from shared.service.serving import run

if __name__ == "__main__":
    sys.exit(run("scorer", build, ScorerSettings, protocol_for))
