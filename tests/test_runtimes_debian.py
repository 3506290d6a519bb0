"""Debian packages of another architecture: the machine's own mirror, key and checks."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from ggml_magic.errors import EnvironmentBuildError
from ggml_magic.runtimes import debian

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="a machine without apt")

AT_ONCE = ('Acquire::Retries "0";',)
KEY = "/usr/share/keyrings/some-keyring.gpg"


def configured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, sources: str = "", lines: str = ""
) -> None:
    """Let the real apt-config see a machine whose sources are these."""
    parts = folder / "parts"
    parts.mkdir()
    (parts / "a.sources").write_text(sources)
    (folder / "list").write_text(lines)
    config = folder / "apt.conf"
    config.write_text(
        f'Dir::Etc::parts "/dev/null";\nDir::Etc::sourcelist "{folder}/list";\n'
        f'Dir::Etc::sourceparts "{parts}";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))


def test_mirrors_are_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = f"""
# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEY}

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
"""
    lines = (
        "# deb http://commented.example/debian bookworm main\n"
        f"deb [trusted=yes signed-by={KEY}] http://lines.example/debian bookworm main contrib\n"
        "deb http://docker.example/linux/debian bookworm stable\n"
        "deb cdrom:[Debian]/ bookworm main\n"
    )
    configured(tmp_path, monkeypatch, sources=sources, lines=lines)
    assert debian.archives() == (
        debian.Archive("http://lines.example/debian", KEY),
        debian.Archive("http://mirror.example/debian", KEY),
    )


def test_a_key_may_stand_in_the_source_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = (
        "Types: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    configured(tmp_path, monkeypatch, sources=sources)
    (archive,) = debian.archives()
    text = debian.source(archive, "bookworm", "arm64")
    assert "Suites: bookworm\n" in text and "Architectures: arm64\n" in text
    assert "Signed-By: -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n" in text


def test_a_machine_without_debian_is_told_what_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(tmp_path, monkeypatch, lines="deb http://u.example/ubuntu noble main\n")
    with pytest.raises(EnvironmentBuildError, match="Debian archive") as caught:
        debian.archives()
    assert "debian-archive-keyring" in caught.value.remedy


def test_what_the_machine_allows_unsigned_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "apt.conf"
    config.write_text(
        'Dir::Etc::parts "/dev/null";\nAcquire::AllowInsecureRepositories "true";\n'
        'APT::Get::AllowUnauthenticated "true";\nAcquire::http::Proxy "http://p.example:1";\n'
        'DPkg::Post-Invoke { "rm -rf /nowhere"; };\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
    kept = "\n".join(debian.settings())
    assert "http://p.example:1" in kept
    for name in ("AllowInsecure", "AllowUnauthenticated", "Post-Invoke", "Dir::State"):
        assert name not in kept


def repository(folder: Path) -> Path:
    """An unsigned but otherwise whole Debian archive in a folder."""
    index = folder / "dists/bookworm/main/binary-arm64"
    index.mkdir(parents=True)
    (index / "Packages").write_text("")
    (folder / "dists/bookworm/Release").write_text(
        "Origin: Debian\nSuite: bookworm\nCodename: bookworm\nComponents: main\n"
        "Architectures: arm64\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nMD5Sum:\n"
    )
    return folder


def test_an_unsigned_archive_is_refused(tmp_path: Path) -> None:
    archive = debian.Archive(f"file:{repository(tmp_path / 'mirror')}")
    apt = debian.Apt(tmp_path / "state", "arm64", "bookworm", archive, debian.settings())
    with pytest.raises(EnvironmentBuildError, match="not signed"):
        apt.update()


def test_a_dead_mirror_is_an_error_of_two_lines(tmp_path: Path) -> None:
    archive = debian.Archive("http://127.0.0.1:9/debian")
    apt = debian.Apt(tmp_path / "state", "arm64", "bookworm", archive, AT_ONCE)
    with pytest.raises(EnvironmentBuildError, match="apt-get") as caught:
        apt.update()
    assert str(caught.value).count("\n") <= 1


def test_a_machine_without_apt_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentBuildError, match="no apt-get, apt-cache"):
        debian.require()


def test_a_broken_package_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(b"no package")
    with pytest.raises(EnvironmentBuildError, match=r"could not fetch a\.deb: dpkg-deb"):
        debian.unpack([tmp_path / "a.deb"], tmp_path)


@pytest.mark.real
def test_the_machines_mirror_has_what_is_needed(tmp_path: Path) -> None:
    archive = debian.archives()[0]
    apt = debian.Apt(tmp_path, "arm64", "bookworm", archive, debian.settings())
    apt.update()
    assert apt.version("python3.11-minimal").startswith("3.11.2")
    assert apt.version("no-such-package") == ""
    planned = apt.plan(["libgcc-s1"])
    assert {"libgcc-s1", "libc6"} <= {one.name.split("_")[0] for one in planned}
    assert all(one.size > 0 for one in planned)


def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("no program")
    with pytest.raises(EnvironmentBuildError, match="Permission denied"):
        debian.run([str(tmp_path / "tool")], "a thing")


@pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg to sign an archive with")
@pytest.mark.parametrize(("origin", "refused"), [("Debian", False), ("Somebody", True)])
def test_a_signed_archive_that_is_not_debians_is_refused(
    origin: str, refused: bool, tmp_path: Path
) -> None:
    mirror = repository(tmp_path / "mirror")
    release = mirror / "dists/bookworm/Release"
    index = mirror / "dists/bookworm/main/binary-arm64/Packages"
    digest = hashlib.sha256(index.read_bytes()).hexdigest()
    text = release.read_text().replace("Origin: Debian", f"Origin: {origin}")
    text = text.replace("MD5Sum:\n", f"SHA256:\n {digest} 0 main/binary-arm64/Packages\n")
    release.write_text(text)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(keys), "--batch", "--quiet", "--passphrase", ""]
    made = ["--quick-generate-key", "a@example.org", "ed25519", "sign", "never"]
    inline = ["--output", str(release.with_name("InRelease")), "--clearsign", str(release)]
    for arguments in (made, ["--output", str(tmp_path / "key.gpg"), "--export"], inline):
        subprocess.run([*gpg, *arguments], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(keys), "--kill", "all"], check=True)
    archive = debian.Archive(f"file:{mirror}", str(tmp_path / "key.gpg"))
    apt = debian.Apt(tmp_path / "state", "arm64", "bookworm", archive, debian.settings())
    if refused:
        with pytest.raises(EnvironmentBuildError, match="of Somebody, not of Debian"):
            apt.update()
    else:
        apt.update()
        assert apt.version("libc6") == ""
