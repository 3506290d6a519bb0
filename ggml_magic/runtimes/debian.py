"""Packages of another Debian architecture, fetched by the machine's own apt and unpacked aside.

No root: apt works on a private state, and nothing of the machine is installed or changed. The
mirror and its signing key are those that the machine is configured with; signatures are always
checked, whatever its sources allow.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ggml_magic.device.environment import clean_environment
from ggml_magic.errors import EnvironmentBuildError

TOOLS = ("apt-get", "apt-cache", "apt-config", "dpkg", "dpkg-deb")
# 80 MB of packages over a slow link; a fetch that takes longer is stuck
FETCH_SECONDS = 1800
AGAIN = "the same command again, once that is mended"
ORIGINS = frozenset({"Debian", "Debian Backports"})
RELEASES = frozenset(
    ("bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")
)
# Whatever the machine's sources allow: what is not signed is not taken.
SIGNED_ONLY = (
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::AllowWeakRepositories "false";',
    'Acquire::AllowDowngradeToInsecureRepositories "false";',
    'APT::Get::AllowUnauthenticated "false";',
)
# Of the machine's configuration all is kept (proxies, certificates, keys) but what says where
# things lie, which indexes to fetch besides, and the hooks that clean the machine's own caches.
NOT_OURS = (
    "Acquire::Allow",
    "Acquire::IndexTargets",
    "Acquire::Languages",
    "APT::Architecture",
    "APT::Get::AllowUnauthenticated",
    "APT::Periodic",
    "APT::Sandbox",
    "APT::Update",
    "Dir::Cache",
    "Dir::Etc::main",
    "Dir::Etc::parts",
    "Dir::Etc::preferences",
    "Dir::Etc::source",
    "Dir::State",
    "DPkg",
)


@dataclass(frozen=True)
class Archive:
    """A Debian mirror and the key that signs it, as this machine's apt is configured.

    ``signed_by`` is a file, a fingerprint or a whole key; empty means the machine's own keyring.
    """

    uri: str
    signed_by: str = ""


@dataclass(frozen=True)
class Package:
    """A package to fetch: its file's name and size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Apt:
    """A private apt state in ``folder``, for one architecture and one suite of an archive."""

    folder: Path
    architecture: str
    suite: str
    archive: Archive
    settings: tuple[str, ...] = field(default=(), repr=False)

    def update(self) -> None:
        """Fetch the suite's index and check its signature.

        Raises ``EnvironmentBuildError``, also when the archive is not Debian's own.
        """
        self._prepare()
        self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
        origins = {
            found.group(1)
            for path in (self.folder / "lists").glob("*Release")
            if (found := re.search(r"^Origin: (.*)$", path.read_text(), re.MULTILINE))
        }
        if not origins or not origins <= ORIGINS:
            raise EnvironmentBuildError(
                f"{self.suite} could not be taken from {self.archive.uri}",
                f"it says that it is of {', '.join(sorted(origins)) or 'nobody'}, not of Debian",
                AGAIN,
            )

    def version(self, package: str) -> str:
        """The version that would be fetched; empty when there is none."""
        answer = self._apt("apt-cache", "policy", package)
        found = re.search(r"^\s+Candidate: (\S+)$", answer, re.MULTILINE)
        return found.group(1) if found and found.group(1) != "(none)" else ""

    def plan(self, packages: Sequence[str]) -> tuple[Package, ...]:
        """What fetching these packages and all that they depend on would bring."""
        answer = self._apt("apt-get", "install", "--print-uris", *self._quiet(), *packages)
        found = re.findall(r"^'\S+' (\S+_\S+\.deb) (\d+)", answer, re.MULTILINE)
        return tuple(Package(name, int(size)) for name, size in found)

    def fetch(self, packages: Sequence[str]) -> tuple[Path, ...]:
        """The files of these packages and of all that they depend on, hashes checked."""
        self._apt("apt-get", "install", "--download-only", *self._quiet(), *packages)
        return tuple(sorted((self.folder / "archives").glob("*.deb")))

    def fetch_alone(self, package: str) -> Path:
        """The file of one package without what it depends on, hash checked."""
        into = self.folder / "alone"
        into.mkdir(exist_ok=True)
        self._apt("apt-get", "download", package, folder=into)
        return next(into.glob("*.deb"))

    def _quiet(self) -> tuple[str, ...]:
        return ("--no-install-recommends", "--yes", "-q")

    def _apt(self, tool: str, *arguments: str, folder: Path | None = None) -> str:
        return run(
            [tool, *arguments],
            f"{self.suite} for {self.architecture} from {self.archive.uri}",
            folder=folder,
            variables={"APT_CONFIG": str(self.folder / "apt.conf")},
        )

    def _prepare(self) -> None:
        for name in ("lists/partial", "archives/partial", "sources"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources" / "debian.sources").write_text(
            source(self.archive, self.suite, self.architecture)
        )
        (self.folder / "apt.conf").write_text("\n".join(self._configuration()) + "\n")

    def _configuration(self) -> Iterator[str]:
        yield from self.settings
        yield from SIGNED_ONLY
        yield 'Acquire::Languages "none";'
        yield f'APT::Architecture "{self.architecture}";'
        yield f'APT::Architectures "{self.architecture}";'
        places = {"State": ".", "State::lists": "lists", "State::status": "status"}
        places |= {"Cache": ".", "Cache::archives": "archives", "Etc::sourceparts": "sources"}
        for name, place in places.items():
            yield f'Dir::{name} "{self.folder / place}";'
        for name in ("main", "parts", "preferences", "preferencesparts", "sourcelist"):
            yield f'Dir::Etc::{name} "/dev/null";'
        if os.geteuid() == 0:
            # apt's own unprivileged user cannot enter root's cache folder
            yield 'APT::Sandbox::User "root";'


def require() -> None:
    """Raise ``EnvironmentBuildError`` that names apt's tools when they are not here."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise EnvironmentBuildError(
            "the emulated system cannot be fetched here",
            f"it is made of Debian packages by apt, and this machine has no {', '.join(missing)}",
            "set it up on a Debian machine or container, and point GGML_CACHE to a copy of its "
            "cache here",
        )


def architecture() -> str:
    """What Debian calls this machine's architecture, such as ``amd64``."""
    return run(["dpkg", "--print-architecture"], "this machine's architecture").strip()


def archives() -> tuple[Archive, ...]:
    """The Debian mirrors that this machine's apt is configured with.

    Raises ``EnvironmentBuildError`` when there is none, as on Ubuntu.
    """
    answer = run(
        [
            "apt-config",
            "shell",
            "LIST",
            "Dir::Etc::sourcelist/f",
            "PARTS",
            "Dir::Etc::sourceparts/d",
        ],
        "apt's configuration",
    )
    places = dict(re.findall(r"^(\w+)='(.*)'$", answer, re.MULTILINE))
    files = [Path(places.get("LIST", ""))]
    parts = Path(places["PARTS"]) if "PARTS" in places else None
    if parts and parts.is_dir():
        files += sorted(path for path in parts.iterdir() if path.suffix in {".list", ".sources"})
    found: dict[Archive, None] = {}  # in the order of the configuration, each once
    for path in files:
        if path.is_file():
            text = path.read_text(errors="replace")
            found |= dict.fromkeys(_stanzas(text) if path.suffix == ".sources" else _lines(text))
    if not found:
        raise EnvironmentBuildError(
            "the emulated system cannot be fetched here",
            "none of this machine's apt sources is a Debian archive with `main`",
            "add one with its key (package debian-archive-keyring) to /etc/apt/sources.list.d",
        )
    return tuple(found)


def settings() -> tuple[str, ...]:
    """This machine's apt configuration, without what a private state must not take over."""
    lines = run(["apt-config", "dump"], "apt's configuration").splitlines()
    return tuple(line for line in lines if line and not line.lower().startswith(_NOT_OURS))


_NOT_OURS = tuple(name.lower() for name in NOT_OURS)


def source(archive: Archive, suite: str, architecture: str) -> str:
    """The one stanza of apt sources that a private state has."""
    fields = {"Types": "deb", "URIs": archive.uri, "Suites": suite, "Components": "main"}
    fields["Architectures"] = architecture
    if archive.signed_by:
        fields["Signed-By"] = archive.signed_by
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def unpack(packages: Iterable[Path], into: Path) -> None:
    """Unpack the files of packages; their scripts are never run."""
    for package in packages:
        run(["dpkg-deb", "-x", str(package), str(into)], package.name)


def run(
    command: Sequence[str],
    what: str,
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """What a command printed.

    Raises ``EnvironmentBuildError`` with the command's own line of error.
    """
    try:
        done = subprocess.run(
            list(command),
            cwd=folder,
            env={**clean_environment(), **(variables or {}), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentBuildError(
            f"could not fetch {what}", f"{command[0]} did not end within {FETCH_SECONDS} s", AGAIN
        ) from None
    except OSError as error:
        raise EnvironmentBuildError(
            f"could not fetch {what}", f"{command[0]}: {error.strerror}", AGAIN
        ) from error
    if done.returncode:
        raise EnvironmentBuildError(
            f"could not fetch {what}",
            f"{Path(command[0]).name}: {_reason(done.stderr or done.stdout)}",
            AGAIN,
        )
    return done.stdout


def _reason(output: str) -> str:
    if "No space left on device" in output:
        return "no space left on the disk"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "ERROR:", "dpkg-deb: error"))]
    return (errors or lines or ["it said nothing"])[0]


def _lines(text: str) -> Iterator[Archive]:
    """Archives of the one-line format: ``deb [signed-by=…] URI SUITE COMPONENT…``."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if found and _is_debian(found[2], [found[3]], found[4].split()):
            options = dict(re.findall(r"([\w-]+)=(\S+)", found[1] or ""))
            yield Archive(found[2], options.get("signed-by", "").replace(",", " "))


def _stanzas(text: str) -> Iterator[Archive]:
    """Archives of the deb822 format, in which a key may stand over several lines."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        pairs = re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        fields = {name.lower(): value.strip() for name, value in pairs}
        disabled = fields.get("enabled", "yes").lower() in {"no", "false", "0", "off"}
        if disabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            if _is_debian(
                uri, fields.get("suites", "").split(), fields.get("components", "").split()
            ):
                yield Archive(uri, fields.get("signed-by", ""))


def _is_debian(uri: str, suites: Sequence[str], components: Sequence[str]) -> bool:
    """Whether an entry may be Debian's main archive; ``Apt.update`` makes sure of it."""
    released = any(suite in RELEASES for suite in suites)
    return released and "main" in components and not uri.startswith("cdrom:")
