"""Size: the disk space of csq's runtime environment by package, and which package needs each.

python -m bench.size
"""

import re
from collections import deque
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement

MIB = 1 << 20
SMALLEST = 1.0
"""MiB; smaller packages are one line together."""


def sizes(root: str = "csq") -> list[tuple[str, float, str]]:
    """Name, MiB of its installed files, and the first package that needs it, of `root` and all it needs; largest first.

    Files are those of the installer's list, compiled modules included.
    """
    needed_by = {root: ""}
    found: list[tuple[str, float, str]] = []
    queue = deque([root])
    while queue:
        name = queue.popleft()
        package = distribution(name)
        found.append((name, _bytes(package) / MIB, needed_by[name]))
        for line in package.requires or []:
            requirement = Requirement(line)
            other = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if other not in needed_by and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                needed_by[other] = name
                queue.append(other)
    return sorted(found, key=lambda row: -row[1])


def _bytes(package: Distribution) -> int:
    return sum(path.stat().st_size for file in package.files or [] if (path := package.locate_file(file)).is_file())  # type: ignore[attr-defined] # a path of this machine


def main() -> None:
    """Print the table."""
    rows = sizes()
    large = [row for row in rows if row[1] >= SMALLEST]
    for name, size, by in large:
        print(f"{name:<18}{size:6.0f} MiB  {f'for {by}' if by else ''}".rstrip())
    print(f"{f'{len(rows) - len(large)} others':<18}{sum(row[1] for row in rows[len(large) :]):6.0f} MiB")
    print(f"{'in all':<18}{sum(row[1] for row in rows):6.0f} MiB")


if __name__ == "__main__":
    main()
