#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every link between the documents leads somewhere, and no example of a manual page is text
that was taken for one. Usage: links.py SOURCE"""
import glob
import os
import re
import sys

SOURCE = sys.argv[1]


def read(path):
    with open(path, encoding='utf-8') as page:
        return re.sub(r'^```.*?^```$', '', page.read(), flags=re.M | re.S)


def marked_examples(path):
    """Marks that would be shown as they are, not followed."""
    with open(path, encoding='utf-8') as page:
        examples = re.findall(r'^```.*?^```$', page.read(), re.M | re.S)
    return [one for one in examples if re.search(r'\*\*\w|\w\*\*|\]\(', one)]


def anchors(path):
    """As they are made from headings on the web."""
    names = re.findall(r'^#+ (.*)$', read(path), re.M)
    return [re.sub(r'[^\w\- ]', '', re.sub(r'\\', '', name)).strip().lower().replace(' ', '-')
            for name in names]


def main():
    bad = 0
    pages = glob.glob(SOURCE + '/*.md') + glob.glob(SOURCE + '/docs/**/*.md', recursive=True)
    for path in sorted(pages):
        for link in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', read(path))):
            if re.match(r'[a-z]+:', link):
                continue
            name, _, anchor = link.partition('#')
            target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not os.path.exists(target):
                print(f'{os.path.relpath(path, SOURCE)}: {link}: there is no such file')
                bad = 1
            elif anchor and anchor not in anchors(target):
                print(f'{os.path.relpath(path, SOURCE)}: {link}: there is no such heading')
                bad = 1
    for path in glob.glob(SOURCE + '/docs/man/*.md'):
        for example in marked_examples(path):
            print(f'{os.path.relpath(path, SOURCE)}: this is no example:\n{example}')
            bad = 1
    print(f'{len(pages)} pages')
    return bad


if __name__ == '__main__':
    sys.exit(main())
