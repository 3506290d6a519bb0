"""The log of a component, or of the core device itself, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ggml_magic.cloud.gateway import SANDBOX
from ggml_magic.core.disk import Layout
from ggml_magic.core.logs import LEVELS, last_lines
from ggml_magic.deploy.target import near
from ggml_magic.errors import CloudError, GrammarError, NotYetError
from ggml_magic.presentation import Card, Presented
from ggml_magic.sandbox.client import simulated_group
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

LINES = 50
# The name of the core device's own log.
CORE = "core"


@dataclass(frozen=True)
class Logs(Presented):
    """The last lines of a component's log, as people read them."""

    thing: str
    cloud: str
    component: str
    lines: tuple[str, ...]

    def card(self) -> Card:
        """The lines as they are."""
        return Card(
            f"log of {self.component} on thing/{self.thing}, {self.cloud}",
            notes=self.lines or ("it is empty",),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)


def tail(
    workspace: Workspace, settings: Settings, thing: str, component: str, lines: int = LINES,
    level: str | None = None,
) -> Logs:  # fmt: skip
    """The last lines that a component wrote on a core device, over rotated files too.

    ``component`` is its name, that of its model, or ``core`` for the core device itself;
    ``level`` is the least that is shown: DEBUG, INFO, WARN or ERROR, in any case. Raises
    ``NotYetError`` where it wrote nothing yet, ``CloudError`` on AWS, where the log lies on the
    device, ``GrammarError`` for another level.
    """
    least = _level(thing, component, level)
    if settings.cloud != SANDBOX:
        raise _elsewhere(workspace, settings, thing, component)
    root = workspace.root / "cores" / thing
    if not root.is_dir():
        meant = near(thing, (path.name for path in root.parent.glob("*")))
        if (group := simulated_group(workspace, thing)) is not None:
            raise NotYetError(
                f"there is no log of {component}",
                f"{thing} is a simulated device of the fleet {group}: no component runs on it",
                "%ggml sandbox core weather-pi",
            )
        raise NotYetError(
            f"there is no log of {component}",
            f"there is no core device {thing} in this workspace",
            f"%ggml logs {meant} {component}" if meant else f"%ggml sandbox core {thing}",
        )
    layout = Layout(root)
    there = sorted(path.stem for path in layout.log(CORE).parent.glob("*.log"))
    if component == CORE and CORE not in there:
        found = tuple(last_lines(root / "core.log", lines, least))
        return Logs(thing, settings.cloud, CORE, found)
    name = component
    if component not in there:
        name = _component(workspace, settings, component, there)
    path = layout.log(name)
    if not path.exists():
        raise _no_log(settings, thing, name, there)
    return Logs(thing, settings.cloud, name, tuple(last_lines(path, lines, least)))


def _level(thing: str, component: str, given: str | None) -> str | None:
    if given is None or given.upper() in LEVELS:
        return given and given.upper()
    raise GrammarError(
        f"there is no level {given!r}",
        f"a log has {', '.join(LEVELS)}",
        f"%ggml logs {thing} {component} --level warn",
    )


def _elsewhere(
    workspace: Workspace, settings: Settings, thing: str, component: str
) -> CloudError:  # fmt: skip
    if component == CORE:
        what, group = "the core's log", "/aws/greengrass/GreengrassSystemComponent"
        group = f"{group}/{settings.region}/System"
    else:
        name = _component(workspace, settings, component)
        what = f"the log of {name}"
        group = f"/aws/greengrass/UserComponent/{settings.region}/{name}"
    return CloudError(
        f"{what} is on {thing} itself",
        "where its log manager sends it to CloudWatch, it can be read there",
        f"aws logs tail {group} --region {settings.region}",
    )


def _component(
    workspace: Workspace, settings: Settings, given: str, there: Sequence[str] = ()
) -> str:
    """A component's name as it was given, or that of the model that was given."""
    from ggml_magic.component.package import component_name

    name = component_name(settings, given)
    described = (workspace.root / "models" / given / "model.json").exists()
    return name if described or name in there else given


def _no_log(settings: Settings, thing: str, name: str, there: Sequence[str]) -> NotYetError:
    from ggml_magic.component.package import component_name

    what = f"there is no log of {name}"
    if not there:
        why = f"no component has written anything on {thing} yet"
        return NotYetError(what, why, "%ggml sandbox status")
    # a model's name mistyped is near to a component's only once it is written as one
    meant = near(name, there) or near(component_name(settings, name), there)
    ours = [each for each in there if each.startswith(f"{settings.prefix}.")]
    return NotYetError(
        what,
        f"it has written nothing on {thing}, where there is {', '.join(there)}",
        f"%ggml logs {thing} {meant or (ours or there)[0]}",
    )
