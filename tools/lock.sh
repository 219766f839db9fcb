#!/bin/sh
# Writes the locks from pyproject.toml with uv: every version exact, every file hashed. Usage: lock.sh PYTHON [OPTION OF uv pip compile…]
#
# A version that a lock names stays until pyproject.toml asks for another; `--upgrade` or `--upgrade-package NAME` takes newer ones.
# Each selection has its own lock, since pip can install all of a lock, but not a part of it. The base has requirements.lock, and
# each other lock holds what its extra or group needs beside the base (and the extras beside torch). All are installed with --no-deps.
set -eu
cd "$(dirname "$0")/.."
python=$1
shift

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"$python" -m venv "$tool"
pin=$("$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["lock"])')
"$tool/bin/pip" install --quiet --disable-pip-version-check "$pin"

compile() { # LOCK OPTION… writes one lock
	lock=$1
	shift
	# Only the default index: the machine's own settings may name indexes and folders with other builds. `fewest`: one version for every Python.
	env -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS UV_NO_SYSTEM_CONFIG=1 UV_PYTHON_DOWNLOADS=never \
		"$tool/bin/uv" pip compile --quiet --no-progress --universal --python-version 3.11 --fork-strategy fewest \
		--generate-hashes --no-annotate --custom-compile-command "make lock" \
		--output-file "$lock" "$@"
	echo "lock: $lock has $(grep -c == "$lock") packages"
}

names() { # LOCK… writes the packages that they hold
	sed -n 's/^\([a-z0-9-]*\)==.*/\1/p' "$@"
}

without() { # reads packages, writes the options that leave them out of a lock
	sed 's/^/--no-emit-package=/'
}

base=requirements.lock dev=requirements-dev.lock torch=requirements-torch.lock
compile requirements-pip.lock --group pip "$@"
compile $base pyproject.toml --group build "$@"
compile $dev --group dev --constraints $base $(names $base | without) "$@"
compile $torch pyproject.toml --extra torch --constraints $base --constraints $dev $(names $base | without) "$@"
# requirements-torch-cpu.lock, written by hand, names the build for processors and includes this: what it needs, without CUDA.
compile requirements-torch-needs.lock pyproject.toml --extra torch --constraints $base --constraints $torch \
	$(names $base | without) $(names $torch | grep -E '^(torch|triton|cuda-.*|nvidia-.*)$' | without) "$@"

limits="--constraints $base --constraints $dev --constraints $torch"
for extra in musetalk xtts generate languages japanese fonts transcribe whisper api mcp ray; do
	lock=requirements-$extra.lock
	case $extra in
	musetalk | xtts | generate) there="$base $torch" ;; # they bring torch
	*) there=$base ;;                                   # what torch needs, too, is here only by chance
	esac
	compile "$lock" pyproject.toml --extra $extra $limits $(names $there | without) "$@"
	limits="$limits --constraints $lock" # a package that two extras need is in both locks, in one version
done
