"""Three minutes under load while csq is killed, held still and robbed of its broker: nothing is lost, memory stays flat.

`make soak` does it for longer.
"""

from pathlib import Path

import pytest

from bench.soak import main


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_three_minutes_of_faults_lose_nothing(kafka_libraries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--minutes", "3", "--rate", "5000"])

    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "soak ok: lost 0", told
    assert code == 0
    assert "kill -9" in told
    assert "broker down" in told
