"""The root seal outside the data, the keys it opens, and what a change of keys leaves."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path

import pytest

from stratolite.clock import World
from stratolite.core import vault as vaults
from stratolite.core.seals import Locked, Seals
from stratolite.core.vault import Ring, Vault, key_id
from stratolite.server import open_cloud, rekey
from stratolite.service import Call, root

_GOLDEN = Path(__file__).parents[1] / "golden" / "vault-1" / "cloud.json"


def vault(*keys: bytes) -> Vault:
    ring = {key_id(key): key for key in keys}
    return Vault(Ring("c", key_id(keys[-1]), ring, b""), World())


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A folder of root seals of the test's own, and none in the environment."""
    folder = tmp_path / "seals"
    monkeypatch.setenv("STRATOLITE_KEYS", str(folder))
    monkeypatch.delenv("STRATOLITE_ROOT_SEAL", raising=False)
    monkeypatch.delenv("STRATOLITE_ROOT_SEAL_COMMAND", raising=False)
    return folder


def in_cloud(folder, body):
    async def main():
        cloud = await open_cloud(str(folder), World())
        try:
            call = Call(cloud, root("000000000000"), "us-east-1", "r", cloud.endpoint)
            return await body(cloud, call.request)
        finally:
            await cloud.close()

    return asyncio.run(main())


async def make_key(cloud, ask):
    await ask("iam", "CreateUser", {"UserName": "ann"})
    return (await ask("iam", "CreateAccessKey", {"UserName": "ann"}))["AccessKey"]


def secret_of(key):
    async def body(cloud, _):
        from stratolite.services.iam.credentials import AccessKeys

        return AccessKeys(cloud.db, cloud.vault).open(key["AccessKeyId"])[0]

    return body


def test_a_sealed_value_opens_for_its_purpose_only():
    made = vault(b"k" * 32)
    sealed = made.seal(b"secret", "here")
    assert made.open(sealed, "here") == b"secret"
    for broken in (sealed[:-1], sealed + b"x", sealed[:20], b"", b"\x01" + sealed, b"plain"):
        with pytest.raises(ValueError):
            made.open(broken, "here")
    for at in range(len(sealed)):
        with pytest.raises(ValueError):
            made.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], "here")
    with pytest.raises(ValueError, match="another purpose"):
        made.open(sealed, "there")


@pytest.mark.parametrize("size", range(5))
def test_a_change_of_keys_finds_values_raw_in_base64_and_in_digits(size):
    """Services keep sealed bytes as they are, in JSON or in MessagePack: lengths stay, nothing around them moves."""
    old, both = vault(b"k" * 32), vault(b"k" * 32, b"n" * 32)
    plain = b"s" * size
    sealed = old.seal(plain, "p")
    row = b"[" + sealed + b'"' + base64.b64encode(sealed) + b'"' + sealed.hex().encode() + b"]"
    row += base64.urlsafe_b64encode(sealed).rstrip(b"=") + b"." + sealed
    fresh = both.resealed(row)
    assert len(fresh) == len(row)
    parts = [fresh[1 : 1 + len(sealed)], fresh[-len(sealed) :]]
    text = fresh[1 + len(sealed) :].split(b'"')
    parts.append(base64.b64decode(text[1]))
    parts.append(bytes.fromhex(text[2][: 2 * len(sealed)].decode()))
    url = fresh[: -len(sealed) - 1].rpartition(b"]")[2]
    parts.append(base64.urlsafe_b64decode(url + b"=" * (-len(url) % 4)))
    new = vault(b"n" * 32)
    assert [new.open(part, "p") for part in parts] == [plain] * 5
    assert both.resealed(fresh) == fresh


def test_a_change_of_keys_leaves_alone_what_callers_carry_and_what_only_looks_sealed():
    """A session token in somebody's item is their data; so are bytes that begin like a sealed value."""
    old, both = vault(b"k" * 32), vault(b"k" * 32, b"n" * 32)
    token = base64.b64encode(old.seal(b"who", "session-token"))
    alike = old.seal(b"x", "p")[:-3] + b"abc"
    row = b"{" + token + b"}" + alike + b"\x02Seal\x02" + base64.b64encode(b"\x02Seal\x02")
    assert both.resealed(row) == row


def test_the_seal_lies_outside_the_data_and_without_it_nothing_opens(tmp_path, keys):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    key = in_cloud(data, make_key)
    (path,) = keys.iterdir()
    assert os.stat(data).st_mode & 0o777 == 0o700
    assert (os.stat(path).st_mode & 0o777, os.stat(keys).st_mode & 0o777) == (0o600, 0o700)
    assert in_cloud(data, secret_of(key)) == key["SecretAccessKey"]
    os.chmod(path, 0o640)
    with pytest.raises(Locked, match="chmod 600"):
        in_cloud(data, secret_of(key))
    os.chmod(path, 0o600)
    kept = path.rename(tmp_path / "elsewhere")
    with pytest.raises(Locked, match="is not there; bring it from where this cloud was made"):
        in_cloud(data, secret_of(key))
    path.write_text("11" * 32)
    path.chmod(0o600)
    with pytest.raises(Locked, match="is another one"):
        in_cloud(data, secret_of(key))
    kept.rename(path)
    assert in_cloud(data, secret_of(key)) == key["SecretAccessKey"]


def test_the_seal_may_come_from_the_environment_or_a_command(tmp_path, keys, monkeypatch):
    """Where no file may lie: the environment, or what a password manager prints."""
    monkeypatch.setenv("STRATOLITE_ROOT_SEAL", "ab" * 32)
    key = in_cloud(tmp_path / "data", make_key)
    assert not keys.exists()
    monkeypatch.delenv("STRATOLITE_ROOT_SEAL")
    monkeypatch.setenv("STRATOLITE_ROOT_SEAL_COMMAND", "echo " + "ab" * 32)
    assert in_cloud(tmp_path / "data", secret_of(key)) == key["SecretAccessKey"]
    for command, said in (
        ("false", "exit code 1"),
        ("no-such-program", "cannot be run"),
        ("echo x", "64 hex"),
    ):
        monkeypatch.setenv("STRATOLITE_ROOT_SEAL_COMMAND", command)
        with pytest.raises(Locked, match=said):
            in_cloud(tmp_path / "data", secret_of(key))


def test_the_seal_is_not_put_into_the_data_it_protects(tmp_path, monkeypatch):
    monkeypatch.setenv("STRATOLITE_KEYS", str(tmp_path / "data" / "keys"))
    with pytest.raises(Locked, match="lies in the data folder"):
        in_cloud(tmp_path / "data", make_key)


def test_rekey_seals_all_anew_and_goes_on_where_it_was_killed(tmp_path, keys, monkeypatch):
    """Killed at any step the data opens, and another rekey finishes; then the former seal opens nothing."""
    data = tmp_path / "data"
    key = in_cloud(data, make_key)
    (path,) = keys.iterdir()
    former = path.read_text()
    page, calls = vaults._page, []

    def dies(*args, **named):
        calls.append(named["start"])
        raise KeyboardInterrupt

    monkeypatch.setattr(vaults, "_page", dies)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(rekey(str(data)))
    assert len(path.read_text().split()) == 2
    assert path.read_text().split()[1] == former.strip()
    assert in_cloud(data, secret_of(key)) == key["SecretAccessKey"]
    monkeypatch.setattr(vaults, "_page", page)
    monkeypatch.setattr(vaults, "RESEAL_ROWS_MAX", 2)
    done = asyncio.run(rekey(str(data)))
    assert done.path == str(path)
    assert done.rows_count >= 1
    assert len(path.read_text().split()) == 1
    assert (keys / f"{path.name}.former").read_text() == former

    async def sealed_by(cloud, _):
        rows = cloud.db.peek(lambda tx: [v for _, v in tx.scan((b"", b"\xff"))])
        assert all(cloud.vault.resealed(row) == row for row in rows)  # nothing old is left
        return await secret_of(key)(cloud, _)

    assert in_cloud(data, sealed_by) == key["SecretAccessKey"]
    path.write_text(former)
    with pytest.raises(Locked):
        in_cloud(data, secret_of(key))


def test_rekey_with_the_seal_in_the_environment_takes_the_new_one_before_the_old(
    tmp_path, keys, monkeypatch
):
    old, new = "ab" * 32, "cd" * 32
    monkeypatch.setenv("STRATOLITE_ROOT_SEAL", old)
    key = in_cloud(tmp_path / "data", make_key)
    with pytest.raises(Locked, match="NEW,OLD"):
        asyncio.run(rekey(str(tmp_path / "data")))
    monkeypatch.setenv("STRATOLITE_ROOT_SEAL", f"{new},{old}")
    assert asyncio.run(rekey(str(tmp_path / "data"))).path == ""
    monkeypatch.setenv("STRATOLITE_ROOT_SEAL", new)
    assert in_cloud(tmp_path / "data", secret_of(key)) == key["SecretAccessKey"]


def test_a_cloud_whose_key_lay_in_its_folder_opens_and_the_key_moves_out(tmp_path, keys):
    """tests/golden/vault-1: rows and key as the server wrote them before there were root seals."""
    golden = json.loads(_GOLDEN.read_text())
    data = tmp_path / "data"

    async def fill(cloud, _):
        def put(tx):
            for name, value in golden["rows"].items():
                tx.put(bytes.fromhex(name), bytes.fromhex(value))

        await cloud.db.transact(put)

    in_cloud(data, fill)
    (data / "keys").mkdir()
    (data / "keys" / "master").write_bytes(bytes.fromhex(golden["master"]))

    async def look(cloud, ask):
        from stratolite.services.iam.mfa import code_at
        from stratolite.services.sts.tokens import Tokens

        session = golden["session"]
        secret, who = Tokens(cloud.vault).open(session["AccessKeyId"], session["SessionToken"], 0)
        assert secret == session["SecretAccessKey"]
        assert who.arn == "arn:aws:sts::000000000000:assumed-role/r/old"
        step = int(cloud.world.wall()) // 30
        first, second = (code_at(golden["seed"].encode(), s) for s in (step - 1, step))
        codes = {"AuthenticationCode1": first, "AuthenticationCode2": second}
        await ask("iam", "EnableMFADevice", {"UserName": "ann", "SerialNumber": golden["serial"]} | codes)  # fmt: skip
        await ask("iam", "DeactivateMFADevice", {"UserName": "ann", "SerialNumber": golden["serial"]})  # fmt: skip
        return await secret_of(golden["access_key"])(cloud, ask)

    assert in_cloud(data, look) == golden["access_key"]["SecretAccessKey"]
    assert not (data / "keys").exists()
    assert in_cloud(data, look) == golden["access_key"]["SecretAccessKey"]
    assert asyncio.run(rekey(str(data))).rows_count == 2

    async def of_format_one(cloud, ask):
        rows = cloud.db.peek(lambda tx: dict(tx.scan((b"", b"\xff"))))
        assert not [
            v for v in rows.values() if b'"Sealed":"A' in v and b'"Sealed":"AlNlYWwC' not in v
        ]
        return await look(cloud, ask)

    assert in_cloud(data, of_format_one) == golden["access_key"]["SecretAccessKey"]


def test_two_servers_of_one_new_log_agree_on_one_seal(tmp_path, keys):
    """Both find no ring; the slower one takes the other's, and leaves no seal of its own behind."""

    async def main():
        url = (tmp_path / "bucket").as_uri()
        (tmp_path / "bucket").mkdir()
        both = await asyncio.gather(
            *(open_cloud(str(tmp_path / name), World(), url=url) for name in "ab")
        )
        try:
            assert both[0].vault.ring == both[1].vault.ring
            assert [p.name for p in keys.iterdir()] == [both[0].vault.cloud]
            sealed = both[0].vault.seal(b"x", "p")
            assert both[1].vault.open(sealed, "p") == b"x"
        finally:
            for cloud in both:
                await cloud.close()

    asyncio.run(main())


def test_seals_are_read_as_documented(tmp_path):
    seals = Seals(str(tmp_path), {"STRATOLITE_ROOT_SEAL": f" {'01' * 32},\n{'02' * 32} "})
    assert seals.find("any") == [b"\x01" * 32, b"\x02" * 32]
    with pytest.raises(Locked):
        Seals(str(tmp_path), {"STRATOLITE_ROOT_SEAL": "01"}).find("any")
