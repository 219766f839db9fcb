"""Measurements, each a program: `python -m benchmarks.FOLDER.MODULE`, run in the top folder of the repository.

`speed`: time and memory of whole jobs. `api`: the HTTP door. `queue`: time and losses of the queue. `batch`: jobs from tables.
`voice`, `face`, `musetalk`: single stages. `video`: how good finished videos are.
"""

from pathlib import Path

#: The top folder of this repository.
ROOT = Path(__file__).resolve().parent.parent
#: The portrait that comes with the repository.
PORTRAIT = ROOT / "examples" / "portrait.png"
