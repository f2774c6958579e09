#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files of the library call downwards only, and every name that leaves one is ours.

Usage: layers.py NM ARCHIVE LAYERS SOURCE FILE...

ARCHIVE is the static library, made of the source files FILE. LAYERS says which is above which;
"except CALLER CALLED SYMBOL..." in it is a call upwards that is known. A reference to data is
no call: the registry's tables and a backend's own table are referred to by address.
"""
import collections
import os
import re
import subprocess
import sys

OURS = re.compile('unishm_|ushp_|ushs_|ushv_')
NOT_OURS_TO_NAME = re.compile('_|DW[.]')  # the compiler's


def read_layers(path):
    """The line of each file, from the top; and the known calls upwards."""
    place, known = {}, {}
    with open(path, encoding='utf-8') as lines:
        text = lines.read().replace('\\\n', ' ')
        for number, line in enumerate(text.split('\n')):
            words = line.split('#')[0].split()
            if words[:1] == ['except']:
                known[words[1], words[2]] = set(words[3:])
            else:
                place.update({word: number for word in words})
    return place, known


def read_symbols(nm, archive, files):
    """Which file defines a symbol, as code or not; and which files refer to which symbols."""
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
            defined[found[3]] = name, found[2] in 'TW'
    return defined, references


def main():
    nm, archive, layers, source, *paths = sys.argv[1:]
    files = [os.path.relpath(path, source) for path in paths]
    place, known = read_layers(layers)
    defined, references = read_symbols(nm, archive, files)
    for name in files:
        if not name.startswith(('core/', 'backends/', 'shim/')):
            place[name] = len(place) + 1000  # an imitation of a system: the lowest
    faults = ['{} is in no line of {}'.format(name, layers) for name in files if name not in place]
    faults += ['{} defines {}, which lacks a prefix of ours'.format(name, symbol)
               for symbol, (name, _) in sorted(defined.items())
               if not OURS.match(symbol) and not NOT_OURS_TO_NAME.match(symbol)]
    calls = collections.defaultdict(set)
    for caller, symbol in references:
        called, is_code = defined.get(symbol, (caller, False))
        if is_code and called != caller:
            calls[caller, called].add(symbol)
    if not faults:
        if not any(symbol == 'unishm_fail' for symbols in calls.values() for symbol in symbols):
            faults.append('no call to unishm_fail() was found: the symbols are not read well')
        upwards = {pair: symbols for pair, symbols in calls.items()
                   if place[pair[0]] >= place[pair[1]]}
        for (caller, called), symbols in sorted(upwards.items()):
            new = symbols - known.get((caller, called), set())
            if new:
                faults.append('{} calls upwards into {}: {}'.format(
                    caller, called, ' '.join(sorted(new))))
        for (caller, called), symbols in sorted(known.items()):
            gone = symbols - upwards.get((caller, called), set())
            if gone and caller in files and called in files:
                faults.append('{} does not call {} any more: take {} out of {}'.format(
                    caller, called, ' '.join(sorted(gone)), layers))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
