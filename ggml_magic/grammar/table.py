"""Every verb, declared."""

from __future__ import annotations

from collections.abc import Mapping

from ggml_magic.grammar.verb import Argument, Kind, Verb

QUANTIZE = ("none", "float16", "dynamic", "int8", "int16x8", "int8-split", "auto")
ARCHITECTURES = ("native", "aarch64", "armv7l")
MISSING = ("reject", "median")
SANDBOX_ACTIONS = ("start", "status", "stop", "core", "fleet", "env")
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
LOG_LINES = 50
# How long ``messages`` waits, seconds.
WAITED_SECONDS = 30.0
CORE_ACTIONS = ("deploy", "status", "restart", "stop")
ON_FAILURE = ("rollback", "nothing")
DIALECTS = ("classic", "lite")


def _name(summary: str = "the model's name") -> Argument:
    return Argument("name", summary, positional=True, required=True)


def _to(summary: str, *, required: bool = True, shown: str = "TARGET") -> Argument:
    return Argument("to", summary, shown=shown, required=required)


_TARGET = "thing/NAME or thinggroup/NAME"
_INPUTS = Argument(
    "inputs", "rows, by Python name or a .npy or .csv file", Kind.DATA, shown="X", required=True
)
_LABELS = Argument("labels", "the true answers of these rows", Kind.DATA, shown="Y")
_UNITS = Argument(
    "units", "the units of these rows, where they are not the contract's", shown="NAME:UNIT,…"
)
_MAX_FLIPS = Argument(
    "max_flips",
    "how many decisions may differ: a share or a number of rows",
    shown="SHARE",
    default="0%",
)
_RUNTIME = Argument("runtime", "the edge runtime", shown="RUNTIME", default="ai-edge-litert")
_ARCH = Argument(
    "arch",
    "the device's processor; another than native is emulated",
    shown="ARCH",
    default="native",
    choices=ARCHITECTURES,
)
_CPUS = Argument("cpus", "how many processors the model may use", Kind.NUMBER, shown="N")
_MEMORY = Argument("memory", "how much address space the model may use", shown="SIZE")
_FORCE = Argument(
    "force", "go on although the proof failed, for this reason, which is recorded", shown="REASON"
)
_ON_STEP = Argument("on_step", "called with each step as it happens", Kind.SEAM)

VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "config",
            "show the settings, or keep some in the workspace",
            (
                Argument(
                    "changes", "settings to keep", shown="KEY=VALUE", positional=True, many=True
                ),
            ),
            "config cloud=sandbox",
        ),
        Verb(
            "sandbox",
            "AWS on this machine, and core devices on it",
            (
                Argument(
                    "action",
                    "start, status or stop it; core: a core device of that name; "
                    "fleet: so many in a thing group; "
                    "env: lines for a shell that point AWS tools at it",
                    positional=True,
                    required=True,
                    choices=SANDBOX_ACTIONS,
                ),
                Argument(
                    "name",
                    "the core device's name, or how many a fleet has",
                    shown="NAME|N",
                    positional=True,
                ),
                Argument("group", "a fleet's thing group", shown="GROUP", default="fleet"),
                Argument(
                    "simulate",
                    "let a fleet answer deployments by a script instead of running components: "
                    "success, failure, delay:SECONDS or offline, and how many do so",
                    shown="SCRIPT",
                ),
                Argument(
                    "dialect",
                    "which nucleus a core follows: lite refuses what Greengrass nucleus lite does",
                    shown="DIALECT",
                    choices=DIALECTS,
                ),
            ),
            "sandbox core weather-pi",
        ),
        Verb(
            "core",
            "deploy from folders to a core device of this machine, look at it, restart or end it",
            (
                Argument(
                    "action",
                    "deploy from folders; status: what it holds; restart a component; stop: end "
                    "one core device or all",
                    positional=True,
                    required=True,
                    choices=CORE_ACTIONS,
                ),
                Argument("name", "the component to restart", positional=True),
                Argument(
                    "thing",
                    "the core device; without it the only one, and for stop all",
                    shown="NAME",
                ),
                Argument("recipes", "a folder of recipes, JSON or YAML", shown="DIR"),
                Argument(
                    "artifacts", "a folder of artifacts, COMPONENT/VERSION/FILE in it", shown="DIR"
                ),
                Argument(
                    "component",
                    "a component to have, in a version or a range of versions",
                    Kind.PAIRS,
                    shown="NAME=VERSION",
                ),
                Argument(
                    "remove",
                    "a component to remove, of those that local deployments brought",
                    shown="NAME",
                    many=True,
                ),
                Argument(
                    "configuration",
                    'a file of JSON, or JSON: {"NAME": {"MERGE": {…}, "RESET": ["/KEY"]}}',
                    shown="FILE|JSON",
                ),
                Argument(
                    "run_with",
                    "whom a component runs as, USER[:GROUP]; NAME:cpus and NAME:memory limit it, "
                    "memory in KB",
                    Kind.PAIRS,
                    shown="NAME=USER",
                ),
                Argument(
                    "on_failure",
                    "what becomes of a deployment that fails",
                    shown="POLICY",
                    default="rollback",
                    choices=ON_FAILURE,
                ),
                Argument(
                    "timeout", "how long to wait", Kind.NUMBER, shown="SECONDS", default=300.0
                ),
                Argument("json", "the status as JSON", Kind.SWITCH, default=False),
                _ON_STEP,
            ),
            "core deploy --recipes recipes --artifacts artifacts --component com.example.Fan=1.0.0",
        ),
        Verb(
            "doctor",
            "what this machine has of what a proof needs, and how to mend it",
            (Argument("fix", "what to mend, by the name of its check", shown="NAME"),),
            "doctor --fix emulation",
        ),
        Verb(
            "model",
            "describe a trained prediction as one unit",
            (
                _name("a name for it"),
                Argument(
                    "stages",
                    "models, layers, scalers or functions, in order; or where a saved model is",
                    Kind.STAGE,
                    shown="STAGE",
                    positional=True,
                    required=True,
                    many=True,
                ),
                Argument(
                    "features",
                    "the columns in order, each with its unit",
                    shown="NAME:UNIT,…",
                    required=True,
                ),
                _INPUTS,
                _LABELS,
                Argument(
                    "decide",
                    'what the outputs mean: ">= 0.5", "argmax a,b,c" or "value within 0.5"',
                    shown="RULE",
                    default=">= 0.5",
                    words=("within",),
                ),
                Argument(
                    "missing",
                    "what becomes of a reading without a value",
                    shown="POLICY",
                    default="reject",
                    choices=MISSING,
                ),
            ),
            "model rain scaler network --features pressure:hPa,humidity:% --inputs X_train",
            terminal="model rain rain.keras --features pressure:hPa,humidity:% --inputs X_train",
        ),
        Verb(
            "convert",
            "make SavedModel and TFLite of it, in a child process",
            (
                _name(),
                Argument(
                    "quantize",
                    "how to make it smaller; auto chooses by evidence",
                    shown="HOW",
                    default="none",
                    choices=QUANTIZE,
                ),
                Argument(
                    "representative",
                    "rows that int8 is calibrated by; without them, of the training rows",
                    Kind.DATA,
                    shown="X",
                ),
                Argument("file", "take this .tflite instead of converting", shown="FILE.tflite"),
                _RUNTIME,
                _MAX_FLIPS,
            ),
            "convert rain --quantize auto",
        ),
        Verb(
            "validate",
            "prove it on the device's runtime, row by row",
            (
                _name(),
                _INPUTS,
                _LABELS,
                _UNITS,
                _MAX_FLIPS,
                Argument(
                    "tolerance", "how far outputs may differ", Kind.NUMBER, shown="DIFFERENCE"
                ),
                _RUNTIME,
                _ARCH,
                _CPUS,
                _MEMORY,
                Argument("max_latency_p95", "how long a row may take, as in 2ms", shown="TIME"),
                Argument("max_memory", "how much memory it may hold, as in 60MB", shown="SIZE"),
                Argument("max_size", "how big the file may be, as in 40KB", shown="SIZE"),
            ),
            "validate rain --inputs X_test --labels y_test --max-flips 0%",
        ),
        Verb(
            "profile",
            "measure variants and runtimes side by side",
            (
                _name(),
                _INPUTS,
                _LABELS,
                _UNITS,
                Argument("variants", "which; without it, those that convert made", shown="A,B,…"),
                Argument("runtimes", "which; without it, all that run here", shown="A,B,…"),
                _ARCH,
                _CPUS,
                _MEMORY,
            ),
            "profile rain --inputs X_test",
        ),
        Verb(
            "inference",
            "the device's code: show it, or give it as a cell",
            (
                _name(),
                Argument(
                    "code",
                    "a file with read, predict or write; in a notebook, the cell's body",
                    Kind.CODE,
                    shown="FILE",
                ),
            ),
            "inference rain",
            cell="code",
        ),
        Verb(
            "package",
            "make a Greengrass component of a proven model",
            (
                _name(),
                Argument(
                    "interval",
                    "how often the device reads",
                    Kind.NUMBER,
                    shown="SECONDS",
                    default=1.0,
                ),
                Argument("version", "instead of the next free one", shown="VERSION"),
                Argument(
                    "runtime",
                    "the runtime on the device",
                    shown="RUNTIME",
                    default="ai-edge-litert",
                ),
                _FORCE,
            ),
            "package rain",
        ),
        Verb(
            "plan",
            "show what a deployment would change",
            (_name(), _to(_TARGET)),
            "plan rain --to thing/weather-pi",
        ),
        Verb(
            "deploy",
            "publish and deploy it, and wait for the end",
            (
                _name(),
                _to(_TARGET),
                Argument("watch", "show each step as it happens", Kind.SWITCH, default=False),
                Argument(
                    "timeout", "how long to wait", Kind.NUMBER, shown="SECONDS", default=300.0
                ),
                _FORCE,
                _ON_STEP,
            ),
            "deploy rain --to thing/weather-pi --watch",
        ),
        Verb("status", "where its latest deployment stands", (_name(),), "status rain"),
        Verb(
            "replay",
            "send rows as readings of the sensor, and wait for the answers",
            (
                _name(),
                _INPUTS,
                _to("the thing", shown="thing/NAME"),
                _UNITS,
                Argument(
                    "on_answer", "called with how many are answered, and of how many", Kind.SEAM
                ),
            ),
            "replay rain --inputs X_test --to thing/weather-pi",
        ),
        Verb(
            "predictions",
            "the answers that replay collected, and the newest in the shadow",
            (
                _name(),
                _to(
                    "the thing; without it, that of the latest deployment",
                    required=False,
                    shown="thing/NAME",
                ),
            ),
            "predictions rain",
        ),
        Verb(
            "messages",
            "the next messages that are published to IoT Core's topics of the sandbox",
            (
                Argument(
                    "topic_filter",
                    "an MQTT filter; + stands for one level, # for all that follow",
                    shown="FILTER",
                    positional=True,
                    required=True,
                ),
                Argument("count", "how many to wait for", Kind.NUMBER, shown="N", default=1),
                Argument(
                    "seconds", "how long to wait", Kind.NUMBER, shown="S", default=WAITED_SECONDS
                ),
            ),
            "messages rain/# --count 3",
        ),
        Verb(
            "shadow",
            "a thing's shadow",
            (Argument("thing", "the thing's name", positional=True, required=True),),
            "shadow weather-pi",
        ),
        Verb(
            "logs",
            "the last lines of a component's log on a sandbox core",
            (
                Argument("thing", "the core device's name", positional=True, required=True),
                Argument(
                    "component",
                    "the component's name, or the model's",
                    positional=True,
                    required=True,
                ),
                Argument("lines", "how many lines", Kind.NUMBER, shown="N", default=LOG_LINES),
                Argument(
                    "level", "only lines of at least this level", shown="LEVEL", choices=LEVELS
                ),
            ),
            "logs weather-pi com.example.Rain.Inference",
        ),
        Verb(
            "run",
            "run a pipeline of notebooks",
            (
                Argument("pipeline", "its YAML file", positional=True, required=True),
                Argument("set", "a parameter's value", Kind.PAIRS, shown="KEY=VALUE"),
                Argument("output", "a folder for the executed notebooks", shown="FOLDER"),
                _ON_STEP,
            ),
            "run pipelines/rain.yaml --set target=thing/roof-pi",
        ),
    )
}
