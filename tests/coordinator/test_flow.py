from pathlib import Path

from tests.coordinator.room import room_in


def test_one_question_from_attestation_to_the_opened_result(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        run = room.run()
        release, receipt = room.result(run)
        assert release.failure is None
        table = release.tables[0].data.to_pydict()
        assert table["patients"] == [80, 80, 80]
        assert table["total"] == [80, 80, 80]
        assert receipt.computation.name == "by_group"
