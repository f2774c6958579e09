#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What CONTRIBUTING.md says of every file, as far as a program can tell.

Usage: style.py SOURCE

At most 100 columns, with tabs of 8. Tabs indent in C, C++ and shell, spaces in Python and meson.
No space at the end of a line. A licence in the first three lines (the fourth of a manual page).
"""
import os
import sys

COLUMNS = 100
TABS = ('.c', '.h', '.cc', '.hpp', '.sh')
KINDS = TABS + ('.py', '.map', '.supp', '.build', '.1', '.3', '.5', '.7')
NAMES = ('meson_options.txt', 'layers.txt', 'run')
LEFT_OUT = ('.git', 'build', '__pycache__')


def language(path):
    """How the file is called, or, of a script, what runs it; None: not ours to judge."""
    name = os.path.basename(path)
    for kind in KINDS:
        if name.endswith(kind):
            return kind
    if name in NAMES:
        return '.txt'
    with open(path, 'rb') as opened:
        first = opened.readline()
    if first.startswith(b'#!'):
        return '.py' if b'python' in first else '.sh'
    return None


def faults_of(path, kind):
    with open(path, encoding='utf-8') as opened:
        lines = opened.read().split('\n')
    manual = kind[1:].isdigit()
    if not any('SPDX-License-Identifier: MIT' in line for line in lines[:3]):
        yield 1, 'has no SPDX-License-Identifier'
    if lines[-1] != '':
        yield len(lines), 'does not end with a line feed'
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, 'ends with a space'
        if len(line.expandtabs(8)) > COLUMNS and not manual:
            yield number, 'has {} columns'.format(len(line.expandtabs(8)))
        if kind in TABS and line.startswith('  ') and not in_here_document(path, lines, number):
            yield number, 'is indented by spaces'
        if kind == '.py' and line.startswith('\t'):
            yield number, 'is indented by a tab'


def in_here_document(path, lines, number):
    """Text that a shell script hands on, or a comment that draws something, is as it is."""
    before = lines[:number - 1]
    if path.endswith(TABS[:-1]):
        begun = [at for at, line in enumerate(before) if '/*' in line]
        ended = [at for at, line in enumerate(before) if '*/' in line]
        return bool(begun) and (not ended or begun[-1] > ended[-1])
    return any('<<' in line or line.endswith(("'", '"', '\\')) or line.count("'") % 2
               for line in before)


def main():
    source, bad = sys.argv[1], 0
    for directory, inner, names in os.walk(source):
        inner[:] = sorted(one for one in inner if one not in LEFT_OUT and
                          not os.path.exists(os.path.join(directory, one, 'build.ninja')))
        for name in sorted(names):
            path = os.path.join(directory, name)
            kind = None if os.path.islink(path) else language(path)
            where = os.path.relpath(path, source)
            faults = list(faults_of(path, kind)) if kind else []
            for number, fault in faults:
                print('{}:{}: {}'.format(where, number, fault), file=sys.stderr)
                bad += 1
    return 1 if bad else 0


sys.exit(main())
