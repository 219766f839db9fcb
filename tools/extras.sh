#!/bin/sh
# Installs extras, each file by the hash that its lock names. Usage: extras.sh PIP cpu|gpu NAME…
#
# torch is one build for GPUs, which PyPI has, and another for processors, which only PyTorch's own index has; each has its lock.
# Where pip knows no index with the one for processors, the one for GPUs is taken: it is larger, and runs everywhere.
# TORCH_LOCK=FILE: a lock of your own in their place, for another build (docs/operations.md).
set -eu
pip=$1 build=$2
shift 2
here=$(cd "$(dirname "$0")/.." && pwd)

# --no-build-isolation: what is only published as source is built by the setuptools that is locked, not by one from anywhere.
locked() { # -r LOCK…
	"$pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --no-build-isolation "$@"
}

bring_torch() {
	if [ -n "${TORCH_LOCK:-}" ]; then
		locked -r "$TORCH_LOCK"
	elif [ "$build" = gpu ]; then
		# To pip another build of this release (2.13.0+cpu) is what the lock names: it would stay.
		if "$pip" show torch 2>/dev/null | grep -q '^Version: .*+'; then
			"$pip" uninstall --quiet --disable-pip-version-check --yes torch
		fi
		locked -r "$here/requirements-torch.lock"
	elif ! said=$(locked -r "$here/requirements-torch-cpu.lock" 2>&1); then
		case $said in
		# The words of pip 23 and of pip 26.
		*"No matching distribution found for torch=="* | *"Cannot install torch=="*)
			echo "extras: pip knows no index with torch for processors alone; taking the one for GPUs (some gigabytes)"
			locked -r "$here/requirements-torch.lock"
			;;
		*)
			echo "$said" >&2
			exit 1
			;;
		esac
	fi
}

# One call of pip for all: each takes half a second to start.
for name; do
	shift
	set -- "$@" -r "$here/requirements-$name.lock"
	case $name in
	musetalk | xtts | generate) [ -n "${torch:-}" ] || { bring_torch && torch=there; } ;;
	esac
done
locked "$@"
