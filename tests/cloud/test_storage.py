"""Photos and files in the bucket: sent once, resumed after a kill at any call, never written outside their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from laws import Killed, apply, killed_at
from photosets import photo_set

from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.config import AwsSettings
from dogbreed.data import shards
from dogbreed.errors import DogbreedError
from dogbreed.rehearse.state import Server

SOME = [bytes([number]) * 700 for number in range(40)]


@pytest.fixture
def store(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Store:
    apply([Bucket(aws)])
    plan = shards.plan
    # Shards of a few photos, so that there are several.
    monkeypatch.setattr(shards, "plan", lambda photos, limit=5000: plan(photos, limit))
    return Store(aws)


def calls(account: Server, since: int = 0) -> list[str]:
    """The S3 operations that were asked for, without those of the stand-in itself."""
    s3 = [call for call in account.ask("calls") if call["service"] == "s3" and not call["platform"]]
    return [call["operation"] for call in s3][since:]


def test_photos_arrive_as_they_are(store: Store, tmp_path: Path) -> None:
    photos = photo_set(tmp_path / "photos", SOME)
    seen: list[tuple[int, int]] = []
    done = store.upload_photos(photos, progress=lambda *amounts: seen.append(amounts))
    assert done.uri == f"s3://{store.bucket}/data/{photos.digest()}/"
    assert done.shards == done.sent > 3
    assert seen[-1] == (done.bytes_sent, done.bytes_sent)
    assert [amount for amount, _ in seen] == sorted(amount for amount, _ in seen)
    store.download(store.key(done.uri), tmp_path / "there")
    assert shards.unpack(tmp_path / "there", tmp_path / "out") == len(SOME)
    for photo in photos.photos:
        assert (tmp_path / "out" / shards.place(photo.sha256)).read_bytes() == photo.path.read_bytes()


def test_a_second_time_one_call_finds_that_nothing_is_to_be_done(
    store: Store, account: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = photo_set(tmp_path / "photos", SOME)
    first = store.upload_photos(photos)
    monkeypatch.setattr(shards.Shard, "pack", lambda shard: pytest.fail("packed again"))
    # The same photos elsewhere, under other names.
    again = photo_set(tmp_path / "elsewhere", list(reversed(SOME)), seed=7)
    before = len(calls(account))
    second = store.upload_photos(again)
    assert (second.uri, second.sent, second.copied, second.bytes_sent) == (first.uri, 0, 0, 0)
    assert calls(account, before) == ["HeadObject"]


def test_one_photo_more_sends_about_one_shard(store: Store, tmp_path: Path) -> None:
    first = store.upload_photos(photo_set(tmp_path / "photos", SOME))
    more = store.upload_photos(photo_set(tmp_path / "more", [*SOME, b"new"]))
    assert more.uri != first.uri
    assert more.sent <= 2
    assert more.copied == more.shards - more.sent
    store.download(store.key(more.uri), tmp_path / "there")
    assert shards.unpack(tmp_path / "there", tmp_path / "out") == len(SOME) + 1


def test_other_splits_of_the_same_photos_send_none(store: Store, tmp_path: Path) -> None:
    photos = photo_set(tmp_path / "photos", SOME)
    store.upload_photos(photos)
    done = store.upload_photos(photo_set(tmp_path / "photos", SOME, split="test"))
    assert done.sent == 0
    assert done.copied == done.shards


@pytest.mark.parametrize("answered", [False, True])
def test_killed_at_any_call_it_goes_on(aws: Aws, store: Store, tmp_path: Path, answered: bool) -> None:
    contents = SOME[:12]
    for number in range(30):
        photos = photo_set(tmp_path / f"{number}", [*contents, f"{answered}{number}".encode() * 300])
        planned = shards.plan(photos)
        try:
            with killed_at(aws, number, answered=answered):
                Store(aws).upload_photos(photos)
            break
        except Killed:
            pass
        there = {item.key for item in store.objects(f"data/{photos.digest()}/")}
        done = store.upload_photos(photos)
        assert done.sent + done.copied <= len(planned) - len([key for key in there if key.endswith(".tar")])
        folder = tmp_path / f"there{number}"
        store.download(store.key(done.uri), folder)
        assert shards.unpack(folder, tmp_path / f"out{number}") == len(photos.photos)
    else:
        pytest.fail("never finished")
    assert number > 3


def test_a_key_of_ones_own_encrypts_everything(account: Server, tmp_path: Path) -> None:
    key = Aws(AwsSettings()).client("kms").create_key()["KeyMetadata"]["Arn"]
    aws = Aws(AwsSettings(kms_key=key))
    apply([Bucket(aws)])
    store = Store(aws)
    done = store.upload_photos(photo_set(tmp_path / "photos", SOME))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"1")
    store.upload(tmp_path / "folder", "runs/1/")
    names = [item.key for item in store.objects()]
    assert len(names) == done.shards + 2
    for name in names:
        head = aws.client("s3").head_object(Bucket=store.bucket, Key=name)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


@pytest.mark.slow
def test_throttling_and_errors_on_a_tenth_of_all_calls(store: Store, account: Server, tmp_path: Path) -> None:
    for kind in ("throttle", "s3-500"):
        account.ask("fault", kind=kind, share=0.1, seed=3)
    photos = photo_set(tmp_path / "photos", SOME)
    done = store.upload_photos(photos)
    store.download(store.key(done.uri), tmp_path / "there")
    assert shards.unpack(tmp_path / "there", tmp_path / "out") == len(SOME)


def test_a_photo_that_changes_meanwhile_ends_it_with_words(store: Store, tmp_path: Path) -> None:
    photos = photo_set(tmp_path / "photos", SOME)
    photos.photos[0].path.write_bytes(b"another")
    with pytest.raises(DogbreedError, match="has changed since it was read"):
        store.upload_photos(photos)
    assert not store.exists(f"data/{photos.digest()}/index.json")


# -- files


def test_small_files(store: Store) -> None:
    assert (store.get("no"), store.get_json("no"), store.exists("no")) == (None, None, False)
    store.put_json("runs/1/run.json", {"breed": "löwchen"})
    assert store.get_json("runs/1/run.json") == {"breed": "löwchen"}
    assert store.exists("runs/1/run.json")
    store.put("runs/2/broken.json", b"{")
    assert list(store.folders("runs/")) == ["1", "2"]
    with pytest.raises(DogbreedError, match=r"broken\.json is no JSON"):
        store.get_json("runs/2/broken.json")
    with pytest.raises(DogbreedError, match="is not in bucket"):
        store.key("s3://another/key")


def test_a_folder_goes_up_and_comes_down(store: Store, account: Server, tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/ö d"):
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    store.upload(tmp_path / "from", "runs/7/")
    paths = store.download("runs/7/", tmp_path / "to")
    assert sorted(path.relative_to(tmp_path / "to").as_posix() for path in paths) == ["a", "b/c", "b/ö d"]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "from" / path.relative_to(tmp_path / "to")).read_bytes()
    before = len(calls(account))
    store.download("runs/7/", tmp_path / "to")
    assert calls(account, before) == ["ListObjectsV2"]
    (tmp_path / "to" / "a").write_bytes(b"short")
    store.download("runs/7/", tmp_path / "to")
    assert (tmp_path / "to" / "a").read_bytes() == b"a" * 1000


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a\\..\\evil", "C:evil"])
def test_no_key_leads_out_of_the_folder(store: Store, tmp_path: Path, name: str) -> None:
    store.put(f"runs/7/{name}", b"evil")
    with pytest.raises(DogbreedError, match="refused to write"):
        store.download("runs/7/", tmp_path / "to")
    assert not list(tmp_path.rglob("*evil*"))
