#!/bin/sh
# SPDX-License-Identifier: MIT
# The Python module: its types, its tests on both backends, and pip install . without a
# compiler.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
export PYTHONDONTWRITEBYTECODE=1
cp -r "$SOURCE/python" copy
(cd copy && MYPYPATH=src quietly mypy --cache-dir=/dev/null src tests)
echo 'ok: types'

# As it is typed. What pip builds it with comes from packages of the system, so that nothing
# has to be fetched.
quietly /usr/bin/python3 -m venv --system-site-packages venv
quietly env CC=false CXX=false PIP_NO_INDEX=1 PIP_FIND_LINKS=/usr/share/python-wheels \
	sh -c 'cd copy && ../venv/bin/pip install .'
rm -rf copy/src copy/build
said=$(venv/bin/python -c 'import unishm; print(unishm.__file__)')
case $said in
"$PWD"/venv/*) ;;
*) die "it is in $said" ;;
esac
[ -e "${said%/*}/py.typed" ] || die 'py.typed is not installed'
echo 'ok: pip install'

cd copy
"$isolated" ../venv/bin/python -m pytest -q -W error
! LD_LIBRARY_PATH=/none ../venv/bin/python -c 'import unishm' 2>without.log ||
	die 'it is imported without the library'
grep -q '^ImportError: unishm needs the library libunishm.so.0' without.log ||
	die "$(cat without.log)"
echo 'ok: without the library it says so'
