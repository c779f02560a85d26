"""Where things lie."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = REPOSITORY / "target" / "peers"
RECORDS = REPOSITORY / "tests" / "peers" / "record"
