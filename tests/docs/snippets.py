#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles and runs every snippet of a document, on each backend that is built.

Usage: snippets.py BUILD SOURCE CC CXX|none DOCUMENT

  ```c, ```cpp   With a main: a program, compiled as it stands. Its first line names the
                 file: /* NAME.c ... */. Without one: the body of main, where functions
                 that start at the margin stay functions.
  ```python      Run with the module of this source.
  ```sh          Run as it stands, where the programs before it were built.
  ```console     Each line that starts with "$ " is run.

A comment before a snippet changes that:
  <!-- given: CODE -->    put before the body of main (may have several lines)
  <!-- not run: WHY -->   not run, and the test says so
  <!-- install -->        not run here: the test of the installation does
  <!-- prints: A|B -->    what these lines print has A and B in it
Everything runs in namespaces of its own. Where the system does not allow that, programs are
compiled and nothing is run, since keys and names in documents could be in use here.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE, CC, CXX, DOCUMENT = sys.argv[1:6]
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Werror']
PROLOGUE = '''
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unishm.h>
'''
PROLOGUE_CXX = '''
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <memory>
#include <string>
#include <unistd.h>
#include <unishm.h>
#if __has_include(<unishm.hpp>)
#include <unishm.hpp>
#endif
'''
NO_NAMESPACES = 'needs namespaces of its own, which are refused here'
FUNCTION = re.compile(r'^(?:static |struct \w+ \{$|enum \{).*?^\}(?:;)?\n', re.M | re.S)


def enter_namespaces():
    """Starts this program again, with shared memory of its own."""
    if os.environ.get('UNISHM_TEST_INSIDE') or not shutil.which('unshare'):
        return
    mount = 'mount -t tmpfs -o mode=1777,size=256m tmpfs /dev/shm'
    for inside in '-mi', '-rmi':
        if subprocess.run(['unshare', inside, 'sh', '-c', mount], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0:
            os.environ['UNISHM_TEST_INSIDE'] = inside
            os.execvp('unshare', ['unshare', inside, 'sh', '-c', mount + ' && exec "$@"', 'sh',
                                  sys.executable] + sys.argv)


def snippets(text):
    """(line, language, code, directives) of each fenced block."""
    pattern = re.compile(r'((?:<!--(?:(?!-->).)*-->\s*)*)^```(\w+)\n(.*?)^```$', re.M | re.S)
    for found in pattern.finditer(text):
        line = text.count('\n', 0, found.start(2)) + 1
        notes = {}
        for note in re.findall(r'<!--\s*(.*?)\s*-->', found.group(1), re.S):
            word, _, rest = note.partition(':')
            notes[word.strip()] = rest.strip()
        yield line, found.group(2), found.group(3), notes


class Runner:
    """Runs snippets in one directory, and counts what failed."""

    def __init__(self, work):
        self.work = work
        self.failed = self.done = self.left = 0
        self.alone = 'UNISHM_TEST_INSIDE' in os.environ
        self.valgrind = None
        built = [os.path.join(BUILD, 'libunishm' + end) for end in ('.so', '.a')]
        with open(next(path for path in built if os.path.exists(path)), 'rb') as library:
            sanitized = re.search(rb'__[atu]b?san_', library.read())
        # examples of the manual stand on each other, so each runs once
        if shutil.which('valgrind') and not sanitized and '/man/' not in DOCUMENT:
            self.valgrind = ['valgrind', '--quiet', '--fair-sched=try', '--leak-check=full',
                             f'--suppressions={SOURCE}/tests/valgrind.supp',
                             '--errors-for-leak-kinds=definite', '--error-exitcode=9']
        pc = os.path.join(BUILD, 'meson-private')
        shutil.copy(os.path.join(pc, 'unishm.pc'), work)
        with open(os.path.join(work, 'unishm.pc'), encoding='utf-8') as config:
            self.config = config.read()
        self.backends = [name for name in ('posix', 'sysv')
                         if f'have_{name}=true' in self.config]
        with open(os.path.join(work, 'unishm.pc'), 'w', encoding='utf-8') as config:
            config.write(re.sub(r'-L\$\{libdir\}', '-L' + BUILD, re.sub(
                r'-I\$\{includedir\}', f'-I{SOURCE}/include', self.config)))
        self.env = dict(os.environ, PKG_CONFIG_PATH=work, LD_LIBRARY_PATH=BUILD, LC_ALL='C',
                        PATH=f'{BUILD}/tools:{os.environ["PATH"]}', CPATH=f'{SOURCE}/include',
                        LIBRARY_PATH=BUILD, UNISHM_SYSV=f'{BUILD}/shim/libunishm-sysv.so.0')
        self.env.pop('UNISHM_BACKEND', None)

    def say(self, line, what, ok, output=''):
        self.done += 1
        self.failed += not ok
        print(f'{"ok" if ok else "not ok"}: {os.path.basename(DOCUMENT)}:{line} {what}')
        if not ok:
            print(output)

    def skip(self, line, why):
        self.left += 1
        print(f'not run: {os.path.basename(DOCUMENT)}:{line} {why}')

    def run(self, line, what, command, prints='', **more):
        env = dict(self.env, **more)
        try:
            end = subprocess.run(command, cwd=self.work, env=env, text=True, check=False,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=120)
        except subprocess.TimeoutExpired as end:
            self.say(line, what, False, f'timed out: {end.output}')
            return False
        good = end.returncode == 0 and all(text in end.stdout for text in prints.split('|'))
        self.say(line, what, good, f'{end.stdout}exit status {end.returncode}')
        return good

    def wrapped(self, code, given, prologue):
        outside = ''.join(FUNCTION.findall(code))
        inside = FUNCTION.sub('', code)
        return (f'{prologue}{"".join(FUNCTION.findall(given))}{outside}\nint main(void)\n{{\n'
                f'{FUNCTION.sub("", given)}\n{inside}\nreturn 0;\n}}\n')

    def program(self, line, language, code, notes):
        extension = {'c': 'c', 'cpp': 'cc'}[language]
        named = re.match(r'/[/*] (\w+)\.(?:c|cc|cpp)\b', code)
        name = named.group(1) if named else f'line{line}'
        whole = re.search(r'\bmain\(', code)
        with open(os.path.join(self.work, f'{name}.{extension}'), 'w', encoding='utf-8') as out:
            out.write(code if whole else self.wrapped(
                code, notes.get('given', '') + '\n', PROLOGUE if language == 'c' else PROLOGUE_CXX))
        for header in re.findall(r'#include <(boost/[^>]*)>', code):
            if not os.path.exists('/usr/include/' + header):
                return self.skip(line, f'needs {header}')
        compilers = [CC.split()]
        warnings = WARNINGS
        if language == 'cpp':
            if CXX == 'none':
                return self.skip(line, 'needs a C++ compiler')
            # in C++ a function beside a struct of its name "hides a constructor"
            warnings = [flag for flag in WARNINGS if flag != '-Wshadow']
            compilers = [CXX.split()]
        elif shutil.which('clang') and 'clang' not in CC:
            compilers = [['clang'], CC.split()]
        quiet = [] if whole else ['-Wno-unused']
        for compiler in compilers:
            if not self.run(line, f'{name} compiles with {compiler[0]}',
                            compiler + warnings + quiet + ['-pthread', '-o', name,
                                                           f'{name}.{extension}', '-lunishm']):
                return None
        if 'pair' in notes:
            return None
        if not self.alone:
            return self.skip(line, NO_NAMESPACES)
        for backend in self.backends if 'only' not in notes else [notes['only']]:
            if backend in self.backends:
                self.run(line, f'{name} runs on {backend}', [f'./{name}'],
                         UNISHM_BACKEND=backend)
                if self.valgrind and language == 'c':
                    self.run(line, f'{name} is clean under valgrind on {backend}',
                             self.valgrind + [f'./{name}'], UNISHM_BACKEND=backend)
        return None

    def shell(self, line, language, code, notes):
        if not self.alone:
            return self.skip(line, NO_NAMESPACES)
        for name in 'posix', 'sysv':
            if re.search(fr'\b{name}\b', code) and name not in self.backends:
                return self.skip(line, f'{name} is not built')
        if re.search(r'(^|[;$] )unishm ', code, re.M) and not os.path.exists(
                f'{BUILD}/tools/unishm'):
            return self.skip(line, 'the command is not built')
        if language == 'console':
            code = ''.join(row[2:] + '\n' for row in code.split('\n') if row.startswith('$ '))
        return self.run(line, 'runs', ['sh', '-euc', code], notes.get('prints', ''))

    def python(self, line, code):
        if not self.alone or not os.path.exists(os.path.join(BUILD, 'libunishm.so')):
            return self.skip(line, NO_NAMESPACES if not self.alone else 'needs the shared library')
        for backend in self.backends:
            self.run(line, f'runs on {backend}', [sys.executable, '-c', 'import unishm\n' + code],
                     UNISHM_BACKEND=backend, PYTHONPATH=f'{SOURCE}/python/src')
        return None

    def snippet(self, line, language, code, notes):
        if 'not run' in notes or 'install' in notes:
            self.skip(line, notes.get('not run') or 'the test of the installation does that')
        elif language in ('c', 'cpp'):
            self.program(line, language, code, notes)
        elif language == 'python':
            self.python(line, code)
        elif language in ('sh', 'console'):
            self.shell(line, language, code, notes)
        elif language != 'text':
            self.say(line, f'nothing is known about {language}', False)


def figures(text):
    """What the document says about speed is what was measured."""
    wanted = re.search(r'<!-- figures: (.*?) -->\n(.*?)\n\n', text, re.S)
    if not wanted:
        return True
    with open(os.path.join(SOURCE, 'docs/benchmarks.md'), encoding='utf-8') as page:
        rows = [[cell.strip(' *') for cell in row.strip('|\n').split('|')] for row in page]
    head = next(row for row in rows if 'attach pair' in row)
    says = re.findall(r'\b\d+\.\d\d\b', wanted.group(2))
    measured = []
    for name in wanted.group(1).split():
        for kind in 'sysv', 'posix':
            row = next(row for row in rows if row[0] == f'unishm {kind}' and len(row) == len(head))
            measured.append(row[head.index(name.replace('_', ' '))])
    print(f'{"ok" if says == measured else "not ok"}: figures: says {says}, measured {measured}')
    return says == measured


def main():
    enter_namespaces()
    if os.environ.get('MESON_EXE_WRAPPER'):
        print('skipped: programs for another processor')
        return 77
    with open(DOCUMENT, encoding='utf-8') as page:
        text = page.read()
    with tempfile.TemporaryDirectory() as work:
        runner = Runner(work)
        for one in snippets(text):
            runner.snippet(*one)
    print(f'{runner.done} checks, {runner.failed} failed, {runner.left} snippets not run')
    return 0 if figures(text) and not runner.failed else 1


if __name__ == '__main__':
    sys.exit(main())
