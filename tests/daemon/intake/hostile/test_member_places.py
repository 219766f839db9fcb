"""Places in the inbox from which nothing can be claimed, or which lead outside: mounts, subvolumes, exchanged folders."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.intake.claims.claim_folder import ClaimFolder
from daemon.intake.drop import Drop
from daemon.system.file_calls import Ops
from tests.support.daemon.intake import COMPANION_WAIT_S, DETECT, SETTLE_S, SPEECH, Room
from tests.support.machine.leases import leased

# -- places that cannot be renamed from --------------------------------------------------------------------------


def test_a_mount_in_the_inbox_stops_nothing_and_is_named_once(
    room: Room, mounted: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "daemon.intake.scanner.log", SimpleNamespace(warning=lambda event, folder, why: told.append(folder))
    )
    (room.inbox / "disk").mkdir()
    mounted(room.inbox / "disk")
    room.put("disk/a.yaml")
    room.put("b.yaml")
    assert [job.name for job in room.settle()] == ["b"]
    room.look(SETTLE_S)
    assert told == ["disk"]


@pytest.mark.parametrize("filesystem", ["btrfs", "xfs"])
@pytest.mark.usefixtures("processes")
def test_a_manifest_of_another_subvolume_or_project_waits_alone(tmp_path: Path, filesystem: str) -> None:
    # Given an inbox on a filesystem that refuses a rename between two of its parts
    with other_part(tmp_path, filesystem) as inbox:
        room = Room(tmp_path, inbox=inbox)
        room.look()
        room.put("part/a.yaml")
        room.put("b.yaml")
        # Then the others are taken, again and again, and the status of this one says what to do
        assert [job.name for job in room.settle()] == ["b"]
        assert "move it into the inbox itself" in str(room.status("part/a")["warnings"])
        room.put("c.yaml")
        assert [job.name for job in room.settle()] == ["c"]
        assert list((room.inbox / ".claimed").iterdir()) == []


@contextlib.contextmanager
def other_part(folder: Path, filesystem: str) -> Iterator[Path]:
    """A folder with a folder `part` in it from which nothing can be renamed into the rest."""
    image, point = folder / "image", folder / "disk"
    point.mkdir()
    size = {"btrfs": 128, "xfs": 320}[filesystem]
    with image.open("wb") as file:
        file.truncate(size * 2**20)
    options = ["-o", "loop,prjquota"] if filesystem == "xfs" else ["-o", "loop"]
    steps = [[f"mkfs.{filesystem}", "-q", str(image)], ["mount", *options, str(image), str(point)]]
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip(f"{step[0]} is not installed (Debian: btrfs-progs, xfsprogs)")
        if done.returncode:
            pytest.skip(f"no {filesystem} can be mounted here: {done.stderr.decode().strip()}")
    try:
        part = point / "part"
        if filesystem == "btrfs":
            subprocess.run(["btrfs", "subvolume", "create", str(part)], capture_output=True, check=True)
        else:
            part.mkdir()
            quota = ["xfs_quota", "-x", "-c", f"project -s -p {part} 42", str(point)]
            subprocess.run(quota, capture_output=True, check=True)
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)


@pytest.mark.usefixtures("processes")
def test_a_dead_fuse_mount_in_the_inbox_stops_nothing(room: Room) -> None:
    # Given a FUSE mount whose server is gone
    point = room.inbox / "dead"
    point.mkdir()
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as exc:
        pytest.skip(f"no FUSE here: {exc}")
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    mount = subprocess.run(
        ["mount", "-i", "-t", "fuse", "-o", options, "nothing", str(point)],
        pass_fds=[fd], capture_output=True, check=False,
    )  # fmt: skip
    os.close(fd)  # nobody will ever answer
    if mount.returncode:
        pytest.skip(f"no FUSE can be mounted here: {mount.stderr.decode().strip()}")
    try:
        room.put("a.yaml")
        assert [job.name for job in room.settle()] == ["a"]
        assert "dead" in room.admission.inbox.closed
    finally:
        subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)


# -- exchanged folders -------------------------------------------------------------------------------------------


def test_nothing_is_written_through_a_link_in_the_place_of_the_claims_at_any_moment(
    room: Room, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given somebody who exchanges `.claimed` for a link as soon as a claim's folder is made
    mkdir, claimed = Ops.mkdir, room.inbox / ".claimed"

    def exchanging(self: Ops, path: Path) -> None:
        mkdir(self, path)
        if path.name.startswith("job-") and not claimed.is_symlink() and "fd" in str(path):
            outside = canary.parent / path.name
            claimed.rename(room.inbox / "moved-aside")
            claimed.symlink_to(canary.parent)
            assert not outside.exists()

    monkeypatch.setattr(Ops, "mkdir", exchanging)
    room.put("a.yaml")
    jobs = room.settle()
    monkeypatch.undo()
    # Then the manifest became a job all the same, and nothing came to be outside (which the fixture sees)
    assert [job.name for job in [*jobs, *room.settle()]] == ["a"]
    assert not claimed.is_symlink()


def test_nothing_is_taken_from_behind_a_folder_that_is_exchanged_for_a_link(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a manifest in a folder of the inbox, and one of the same name in a folder outside
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "a.yaml").write_text(SPEECH)
    room.put("folder/a.yaml")
    room.put("folder/a.cancel", "")
    room.look()
    # When the folder is exchanged between the last look and the claim
    (drops,) = scan_later(room)
    (room.inbox / "folder").rename(room.inbox / "away")
    (room.inbox / "folder").symlink_to(private)
    (private / "a.cancel").touch()
    assert room.admission.take(drops) == []
    # Then what lies outside stays there; and a request file is taken away only where it was found
    room.service.loops.inbox_requests._take_away("folder/a.cancel")
    assert sorted(path.name for path in private.iterdir()) == ["a.cancel", "a.yaml"]
    (room.inbox / "folder").unlink()


def scan_later(room: Room) -> list[list[Drop]]:
    room.now += SETTLE_S
    room.admission.resume()
    return [list(batch) for batch in room.admission.scan()]


@pytest.mark.usefixtures("processes")
def test_a_claim_folder_of_somebody_elses_is_moved_aside_and_ours_comes_back(room: Room) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder that is somebody else's")
    # Given a claim that waits for its picture, while our folder is moved away and a stranger's stands in its place
    picture = room.put("p.png", b"picture")
    room.put("a.yaml", DETECT)
    with leased(picture):
        assert room.settle() == []
    claimed = room.inbox / ".claimed"
    assert list(claimed.iterdir())
    claimed.rename(room.inbox / "elsewhere")
    claimed.mkdir()
    os.chown(claimed, 65534, 65534)
    # When the daemon looks again / Then it goes on with its own
    room.look(COMPANION_WAIT_S / 2)
    assert room.status("a")["state"] == "queued"
    assert claimed.stat().st_uid == 0
    assert len(list(room.inbox.glob(".claimed-not-ours-*"))) == 1


def test_nothing_is_left_in_the_claim_folder_by_a_daemon_that_is_killed_while_it_looks_whose_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """SIGKILL."""

    def die(name: str, dir_fd: int) -> None:
        os.stat(name, dir_fd=dir_fd)
        raise Killed

    def take_in() -> list[Path]:
        with ClaimFolder(tmp_path).opened() as folder:
            return list(folder.iterdir())

    # Given a daemon that is killed before it removes what it made
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", die)
        with pytest.raises(Killed):
            take_in()
    assert len(list((tmp_path / ".claimed").iterdir())) == 1
    # When the next one takes work in / Then it is gone
    assert take_in() == []
    assert [path.name for path in tmp_path.iterdir()] == [".claimed"]
