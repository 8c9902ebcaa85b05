"""Where ZooKeeper and Java are on this machine, or what to install."""

import os
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from lab.targets.target import TargetError

HOME = "ZOOKEEPER_HOME"  # environment: an unpacked release, or a folder with its jars
DEBIAN_JARS = Path("/usr/share/java")
POM = "META-INF/maven/org.apache.zookeeper/zookeeper/pom.properties"
MANIFEST = "META-INF/MANIFEST.MF"
HOW = f"`apt install libzookeeper-java`, or unpack a release of Apache ZooKeeper and let {HOME} name its folder"
JAVA_HOW = "`apt install default-jre-headless`, or let JAVA_HOME name a Java runtime"


class Installation(msgspec.Struct, frozen=True):
    """What it takes to start a server."""

    java: str
    java_version: str
    classpath: tuple[str, ...]
    version: str  # of ZooKeeper

    @property
    def text(self) -> str:
        return f"Apache ZooKeeper {self.version}, Java {self.java_version}"


def find_zookeeper() -> Installation:
    """Raises TargetError saying in one line what is missing and how to get it."""
    java, jar = _find_java(), _find_jar()
    return Installation(java, _java_version(Path(java)), _classpath(jar), _version(jar))


def why_not() -> str:
    """Why no server can be started here; empty if one can."""
    try:
        find_zookeeper()
    except TargetError as error:
        return str(error)
    return ""


def _find_jar() -> Path:
    home = os.environ.get(HOME)
    folders = [DEBIAN_JARS] if home is None else [Path(home), Path(home, "lib")]
    for folder in folders:
        for jar in (folder / "zookeeper.jar", *sorted(folder.glob("zookeeper-[0-9]*.jar"))):
            if jar.is_file():
                return jar
    raise TargetError(f"zookeeper: no zookeeper.jar in {' or '.join(map(str, folders))}: {HOW}")


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    found = shutil.which(java)
    if found is None:
        raise TargetError(f"zookeeper: no {java} on this machine: {JAVA_HOW}")
    return found


def _classpath(jar: Path) -> tuple[str, ...]:
    """A distribution's jar names what it needs itself; a release has it all beside its own."""
    if "\nClass-Path:" in _read(jar, MANIFEST):
        logger = jar.parent / "slf4j-simple.jar"
        return (str(jar), *((str(logger),) if logger.exists() else ()))
    return (str(jar.parent / "*"),)


def _version(jar: Path) -> str:
    return _value("version", _read(jar, POM).splitlines()) or "of unknown version"


def _java_version(java: Path) -> str:
    """As the runtime's `release` file has it; asking the runtime itself would take 0.1 s."""
    try:
        lines = (java.resolve().parents[1] / "release").read_text().splitlines()
    except OSError:
        return "of unknown version"
    return _value("JAVA_VERSION", lines).strip('"') or "of unknown version"


def _value(name: str, lines: Iterable[str]) -> str:
    return next((line.partition("=")[2].strip() for line in lines if line.startswith(name + "=")), "")


def _read(jar: Path, member: str) -> str:
    """A text inside of a jar; empty if it has none of that name."""
    try:
        with zipfile.ZipFile(jar) as archive:
            return archive.read(member).decode(errors="replace")
    except KeyError:
        return ""
    except (OSError, zipfile.BadZipFile) as error:
        raise TargetError(f"zookeeper: {jar}: no jar that can be read: {error}") from error
