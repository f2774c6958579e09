#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files of the library use files below them only, and every name that leaves one is ours.

Usage: layers.py NM ARCHIVE LAYERS SOURCE FILE...

ARCHIVE is the static library, made of the source files FILE. LAYERS says which is above which.
What is used is a function or data. Only the registry refers upwards: to the backends' tables.
"""
import collections
import os
import re
import subprocess
import sys

OURS = re.compile('unishm_|ushp_|ushs_|ushv_')
TABLE = re.compile('unishm_[a-z0-9]+_backend')
NOT_OURS_TO_NAME = re.compile('_|DW[.]')  # the compiler's


def read_layers(path):
    """The line of each file, from the top."""
    with open(path, encoding='utf-8') as lines:
        text = lines.read().replace('\\\n', ' ')
    return {word: number for number, line in enumerate(text.split('\n'))
            for word in line.split('#')[0].split()}


def read_symbols(nm, archive, files):
    """Which file defines a symbol; and which files refer to which symbols."""
    members = {name.replace('/', '_') + '.o': name for name in files}
    defined, references = {}, []
    text = subprocess.run([nm, '-A', archive], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        found = re.match(r'.*[:/]([^:/]+\.o):\s*[0-9a-f]* +([A-Za-z]) (\S+)$', line)
        if not found or found[1] not in members:
            sys.exit('layers.py does not understand: ' + line)
        name = members[found[1]]
        if found[2] == 'U':
            references.append((name, found[3]))
        elif found[2].isupper():
            defined[found[3]] = name
    return defined, references


def main():
    nm, archive, layers, source, *paths = sys.argv[1:]
    files = [os.path.relpath(path, source) for path in paths]
    place = read_layers(layers)
    defined, references = read_symbols(nm, archive, files)
    for name in files:
        if not name.startswith(('core/', 'backends/', 'shim/')):
            place[name] = len(place) + 1000  # an imitation of a system: the lowest
    faults = ['{} is in no line of {}'.format(name, layers) for name in files if name not in place]
    faults += ['{} defines {}, which lacks a prefix of ours'.format(name, symbol)
               for symbol, name in sorted(defined.items())
               if not OURS.match(symbol) and not NOT_OURS_TO_NAME.match(symbol)]
    uses = collections.defaultdict(set)
    for user, symbol in references:
        used = defined.get(symbol, user)
        if used != user and not (user == 'core/registry.c' and TABLE.fullmatch(symbol)):
            uses[user, used].add(symbol)
    if not faults:
        if not any('unishm_fail' in symbols for symbols in uses.values()):
            faults.append('no call to unishm_fail() was found: the symbols are not read well')
        faults += ['{} uses {}, which is not below it: {}'.format(
                       user, used, ' '.join(sorted(symbols)))
                   for (user, used), symbols in sorted(uses.items())
                   if place[user] >= place[used]]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
