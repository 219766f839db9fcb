#!/bin/sh
# Makes the virtual environment and installs exactly what the lock names. Usage: setup.sh PYTHON VENV LOCK
set -eu
python=$1 venv=$2 lock=$3

case "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)" in
3.11 | 3.12) ;;
*)
	echo "setup: Python 3.11 or 3.12 is needed; found '${python:-none}'. Install python3.11, or name it: make PYTHON=/path/to/python3.11" >&2
	exit 1
	;;
esac

# Debian ships venv apart from Python; as root the set-up fetches it by itself.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "setup: installing python3-venv"
		apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
	else
		echo "setup: this Python has no venv. As root: apt-get install python3-venv" >&2
		exit 1
	fi
fi

echo "setup: installing into $venv (once, about a minute)"
# The pip that Python brings compares every file of an index with every tag that fits, which takes twice the time. So it only installs
# the locked one, out of its own wheel: venv would install it first, with setuptools, which takes three seconds.
wheel=$("$python" - <<-END
	import ensurepip, pathlib, sysconfig
	places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), pathlib.Path(ensurepip.__file__).parent / "_bundled"]
	print(next((file for place in places if place for file in pathlib.Path(place).glob("pip-*.whl")), ""))
END
)
"$python" -m venv --without-pip "$venv"
if [ -z "$wheel" ] || ! "$venv/bin/python" "$wheel/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
	-r "$(dirname "$0")/../requirements-pip.lock" 2>/dev/null; then
	echo "setup: pip could not be brought up to date; the one of this Python is used, which is slower"
	"$python" -m venv "$venv"
fi
# --no-deps: the lock names all that is needed and leaves out what is declared upstream but never imported.
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
# A developer's environment looks into this folder; an installed one (INSTALL_AS=copy) must not need it any more.
if [ "${INSTALL_AS:-}" = copy ]; then
	from=$(cd "$(dirname "$0")/.." && pwd)
	copy=$(mktemp -d) # built apart: what an older build left in the tree would be installed as well
	cp -R "$from"/daemon "$from"/stages "$from"/pyproject.toml "$from"/README.md "$from"/LICENSE "$from"/NOTICE "$copy/"
	"$venv/bin/pip" install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation "$copy"
	rm -rf "$copy"
else
	"$venv/bin/pip" install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
