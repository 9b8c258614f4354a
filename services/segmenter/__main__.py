"""python -m services.segmenter serve [--only api|consumer] | migrate"""

import sys

from services.segmenter.app import build
from services.segmenter.settings import SegmenterSettings
from shared.http.protocol import protocol_for
from shared.service.serving import run

if __name__ == "__main__":
    sys.exit(run("segmenter", build, SegmenterSettings, protocol_for))
