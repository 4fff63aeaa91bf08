"""Writes the mutants of the contract, one JSON object a line.

These are the mutants of slither's mutators, and each function without its lock. Run in the folder of the contracts,
with slither on PYTHONPATH and forge on PATH. Changes nothing there but forge's builds.
"""

import json
import re
import sys
from pathlib import Path

from slither import Slither
from slither.tools.mutator.mutators import all_mutators
from slither.tools.mutator.mutators.abstract_mutator import AbstractMutator

# FHR writes a function's body twice, so none of its mutants compiles.
LEFT_OUT = {"FHR"}


def mutators():
    found = [one for one in vars(all_mutators).values() if isinstance(one, type) and issubclass(one, AbstractMutator)]
    return sorted((one for one in found if one.NAME and one.NAME not in LEFT_OUT), key=lambda one: one.NAME)


def patches_of(mutator, unit, contract):
    arguments = [unit, 0, "", "", contract, None, False, Path("."), []]
    try:
        found = mutator(*arguments)._mutate().get("patches", {})
    except IndexError as error:
        # slither's ROR stumbles over assembly; nothing is hidden: what is missing is said.
        print(f"{mutator.NAME} makes no mutants of {contract.name}: {error}", file=sys.stderr)
        return
    for patches in found.values():
        for patch in patches:
            yield {"how": mutator.NAME, **patch}


def unlocked(contract):
    source = Path(contract.source_mapping.filename.absolute).read_bytes()
    for function in contract.functions_declared:
        start = function.source_mapping.start
        header = source[start : start + function.source_mapping.length].split(b"{")[0]
        for lock in re.finditer(rb"\s+nonReentrant\b", header):
            old = lock.group().decode()
            line = function.source_mapping.lines[0]
            place = {"start": start + lock.start(), "end": start + lock.end(), "line_number": line}
            yield {"how": "LOCK", "old_string": f"{function.name}:{old}", "new_string": "", **place}


def main(names):
    slither = Slither(".", compile_force_framework="foundry")
    seen = set()
    for unit in slither.compilation_units:
        for contract in unit.contracts:
            if contract.name not in names or contract.name in seen:
                continue
            seen.add(contract.name)
            file = contract.source_mapping.filename.relative
            patches = [patch for mutator in mutators() for patch in patches_of(mutator, unit, contract)]
            for patch in [*patches, *unlocked(contract)]:
                print(json.dumps({"file": file, **patch}))
    if missing := set(names) - seen:
        sys.exit(f"no contract of these names: {', '.join(sorted(missing))}")


main(sys.argv[1:])
