#!/bin/sh
# Puts avatard on a Debian 12 machine (elsewhere, with Python 3.11 or 3.12: make install PYTHON=/usr/bin/python3.12), brings it up
# to date, or takes it away. As root:
#   tools/install.sh install [--cpu-only | --gpu] [--voices | --no-voices] [--no-start]
#                        [--musetalk] [--xtts] [--generate] [--languages] [--japanese] [--fonts] [--transcribe] [--whisper] [--api] [--mcp]
#                        [--ray] [--hooks]
#                        or --no- before any of these
#                                                         also upgrades, with the same choices where none are given; the
#                                                         version before stays until the new one runs
#   tools/install.sh uninstall [--purge]                  keeps jobs, results, models and configuration unless --purge
# `make install`, `make upgrade` and `make uninstall` call it. docs/operations.md explains. TORCH_LOCK=FILE: see tools/extras.sh.
set -eu
umask 022 # root's may be stricter, and then nobody could use what is installed

home=/opt/avatard
unit=/usr/local/lib/systemd/system # below /etc, so that `systemctl edit` and drop-ins there win
completions=/usr/local/share/bash-completion/completions
manual=/usr/local/share/man/man1
record=/etc/avatard/install.json # version, options and time of the last installation; a backup has it, and so has another machine
source=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "avatard: $*"; }
fail() {
	echo "avatard: $*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "this wants root: sudo make ${1:-install}"
[ -d /run/systemd/system ] || fail "systemd does not run here; without it use 'make run'"

# -- install and upgrade --------------------------------------------------------------------------------------------

need_python() {
	python=${PYTHON:-/usr/bin/python3}
	if ! "$python" -c 'import ensurepip' 2>/dev/null; then
		say "installing python3 and python3-venv"
		apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null ||
			fail "Python 3.11 or 3.12 with venv is needed; install it and try again"
	fi
	version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
	case $version in
	3.11 | 3.12) ;;
	*) fail "Python 3.11 or 3.12 is needed, and $python is $version; name one: make install PYTHON=/usr/bin/python3.12" ;;
	esac
}

# Options that are not given are those of the last installation, also where that was on another machine.
recall() {
	[ -e "$record" ] || return 0
	for name in $extras; do
		eval "given=\$$name"
		[ "$given" = keep ] || continue
		if grep -q "\"--$name\"" "$record"; then eval "$name=yes"; else eval "$name=no"; fi
	done
	if [ "$voices" = keep ]; then
		if grep -q '"--no-voices"' "$record"; then voices=no; else voices=yes; fi
	fi
	[ "$cpu_only" != keep ] || ! grep -q '"--cpu-only"' "$record" || cpu_only=yes
}

write_record() {
	set --
	[ ! -e /etc/systemd/system/avatard.service.d/cpu-only.conf ] || set -- "$@" --cpu-only
	for name in $extras; do
		[ ! -e "$new/.$name" ] || set -- "$@" "--$name"
	done
	[ ! -e "$new/.no-voices" ] || set -- "$@" --no-voices
	commit=$(git -c safe.directory="$source" -C "$source" describe --always --dirty 2>/dev/null || true)
	"$new/bin/python" - "$commit" "$@" >"$record.new" <<-END
		import datetime, importlib.metadata, json, sys
		now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
		version = {"version": importlib.metadata.version("avatard"), "commit": sys.argv[1] or None}
		print(json.dumps({**version, "options": sys.argv[2:], "installed": now}, indent=1))
	END
	chmod 644 "$record.new"
	mv "$record.new" "$record"
}

# A version is a folder of its own, and `current` a link to one: switching is one rename, and so is going back.
build() {
	new=$home/versions/$(date -u +%Y%m%dT%H%M%SZ)
	mkdir -p "$home/versions"
	trap 'rm -rf "$new"' EXIT
	INSTALL_AS=copy "$source/tools/setup.sh" "$python" "$new" "$source/requirements.lock"
	chosen=
	choose_extra musetalk "$musetalk" "torch for the engine musetalk"
	choose_extra xtts "$xtts" "torch and coqui-tts for the engines xtts and coqui"
	choose_extra generate "$generate" "torch and diffusers for portraits from a prompt"
	choose_extra languages "$languages" "what the engine kokoro reads other languages with"
	choose_extra japanese "$japanese" "what the engine kokoro reads Japanese with"
	choose_extra fonts "$fonts" "fonts for Chinese and Japanese captions"
	choose_extra transcribe "$transcribe" "what recognises the words of English recordings"
	choose_extra whisper "$whisper" "what recognises words with a Whisper network"
	choose_extra ray "$ray" "Ray for slots on other machines"
	choose_extra api "$api" "FastAPI and uvicorn for the HTTP door"
	choose_extra mcp "$mcp" "the tools for assistants"
	bring_extras
	[ "$hooks" != keep ] || [ ! -e "$home/current/.hooks" ] || hooks=yes
	[ "$hooks" != yes ] || touch "$new/.hooks" # no packages of its own: a unit and a user
	if [ "$voices" = keep ]; then
		[ -e "$home/current/.no-voices" ] && voices=no || voices=yes
	fi
	[ "$voices" = yes ] || touch "$new/.no-voices"
	mkdir -p "$new/share/doc/avatard" "$new/share/examples"
	cp -R "$source"/docs/. "$source/README.md" "$source/CHANGELOG.md" "$source"/requirements*.lock "$new/share/doc/avatard/"
	cp "$source"/examples/hello.yaml "$source"/examples/portrait.png "$source"/share/* "$new/share/examples/"
	install -m 755 "$source/tools/backup.sh" "$new/share/backup.sh"
	[ ! -d "$source/monitoring" ] || cp -R "$source/monitoring" "$new/share/monitoring"
	"$new/bin/avatar" --version >/dev/null || fail "the new version does not run; nothing was changed"
}

# Large, or under other licences: only where it is wanted.
choose_extra() { # NAME yes|no|keep WORDS
	wanted=$2
	[ "$wanted" != keep ] || [ ! -e "$home/current/.$1" ] || wanted=yes
	[ "$wanted" = yes ] || return 0
	say "installing $3"
	chosen="$chosen $1"
}

bring_extras() {
	[ -n "$chosen" ] || return 0
	"$source/tools/extras.sh" "$new/bin/pip" "$(torch_build)" $chosen
	for name in $chosen; do
		touch "$new/.$name"
	done
}

# Which torch: the one for GPUs, unless the unit is, or is to be, the one without devices.
torch_build() {
	[ "$cpu_only" != keep ] || [ ! -e /etc/systemd/system/avatard.service.d/cpu-only.conf ] || cpu_only=yes
	[ "$cpu_only" = yes ] && echo cpu || echo gpu
}

point() {
	ln -sfn "$1" "$home/.current" && mv -T "$home/.current" "$home/current"
}

place_files() {
	mkdir -p "$unit" /usr/local/lib/sysusers.d /usr/local/lib/tmpfiles.d /etc/avatard /etc/systemd/system/avatard.service.d
	install -m 644 "$source/systemd/sysusers.conf" /usr/local/lib/sysusers.d/avatard.conf
	install -m 644 "$source/systemd/tmpfiles.conf" /usr/local/lib/tmpfiles.d/avatard.conf
	install -m 644 "$source/systemd/avatard.service" "$unit/avatard.service"
	[ -e /etc/avatard/config.yaml ] || install -m 644 "$source/systemd/config.yaml" /etc/avatard/config.yaml
	systemd-sysusers avatard.conf
	systemd-tmpfiles --create avatard.conf
	if [ -e "$new/.api" ]; then place_api; else remove_unit api; fi
	if [ -e "$new/.hooks" ]; then place_unit hooks; else remove_unit hooks; fi
	drop_in 50-backoff.conf "$(systemctl --version | awk 'NR == 1 { print ($2 >= 254) ? "yes" : "no" }')"
	drop_in cpu-only.conf "$cpu_only"
	place_command
	place_help
	systemctl daemon-reload
}

# The HTTP door: a unit and a user of its own. It is not started here, since whoever runs the machine decides who may use it.
place_api() {
	place_unit api
	if ! grep -q '^server:' /etc/avatard/config.yaml; then
		printf '# Whose word on who hands in a job counts, by the name of an API key.\nserver:\n  user: avatard-api\n' >>/etc/avatard/config.yaml
	elif ! grep -q 'avatard-api' /etc/avatard/config.yaml; then
		say "/etc/avatard/config.yaml has settings of the HTTP door; add to them: user: avatard-api"
	fi
}

remove_unit() { # api|hooks
	[ ! -e "$unit/avatard-$1.service" ] || systemctl disable --now --quiet "avatard-$1.service" 2>/dev/null || true
	rm -f "$unit/avatard-$1.service" "/usr/local/lib/sysusers.d/avatard-$1.conf" "/usr/local/lib/tmpfiles.d/avatard-$1.conf"
}

# A unit with a user of its own; not started, since it is of no use before the settings say whom it is for.
place_unit() { # api|hooks
	install -m 644 "$source/systemd/$1-sysusers.conf" "/usr/local/lib/sysusers.d/avatard-$1.conf"
	install -m 644 "$source/systemd/$1-tmpfiles.conf" "/usr/local/lib/tmpfiles.d/avatard-$1.conf"
	install -m 644 "$source/systemd/avatard-$1.service" "$unit/avatard-$1.service"
	systemd-sysusers "avatard-$1.conf"
	systemd-tmpfiles --create "avatard-$1.conf"
}

# The service's own settings, also for whoever stands in a folder with a config.yaml, such as a checkout.
place_command() {
	cat >/usr/local/bin/.avatar <<-END
		#!/bin/sh
		AVATAR_CONFIG=\${AVATAR_CONFIG:-/etc/avatard/config.yaml} exec $home/current/bin/avatar "\$@"
	END
	chmod 755 /usr/local/bin/.avatar
	mv -T /usr/local/bin/.avatar /usr/local/bin/avatar # before, it was a link, which must not be written through
}

# Where bash and man look for what is not of the distribution.
place_help() {
	mkdir -p "$completions" "$manual"
	"$new/bin/avatar" completion bash >"$completions/avatar"
	install -m 644 "$source/docs/avatar.1" "$manual/avatar.1"
}

drop_in() { # NAME yes|no|keep
	target=/etc/systemd/system/avatard.service.d/$1
	case $2 in
	yes) install -m 644 "$source/systemd/$1" "$target" ;;
	no) rm -f "$target" ;;
	esac
}

# 54 more voices (121 MB); whoever has the files or cannot reach the registry goes on without a word of harm.
bring_voices() {
	[ "$voices" = yes ] || return 0
	why=$("$new/bin/avatar" --config /etc/avatard/config.yaml models fetch kokoro 2>&1 >/dev/null) ||
		say "the voices of the engine kokoro could not be brought ($(echo "$why" | tail -n 1)); later: avatar models fetch kokoro"
}

install_it() {
	need_python
	recall
	build
	before=$(readlink "$home/current" 2>/dev/null || true)
	# Before the new unit is in place: the old version must start by its own.
	[ ! -e /etc/avatard/config.yaml ] || "$new/bin/avatar" --config /etc/avatard/config.yaml config --check >/dev/null ||
		fail "/etc/avatard/config.yaml does not fit the new version (see above); the old one goes on"
	place_files
	bring_voices
	point "$new"
	systemctl enable --quiet avatard.service
	if [ "$start" = yes ] && ! systemctl restart avatard.service; then
		journalctl -u avatard.service -n 20 --no-pager -o cat >&2 || true
		[ -z "$before" ] || { point "$before" && systemctl restart avatard.service && fail "the new version did not start; the old one runs again"; }
		trap - EXIT
		write_record
		fail "the service did not start; mend what is said above, then: systemctl start avatard"
	fi
	for name in api hooks; do
		[ "$start" = no ] || [ ! -e "$new/.$name" ] || systemctl try-restart "avatard-$name.service"
	done
	trap - EXIT
	write_record
	for old in "$home"/versions/*; do
		[ "$old" = "$new" ] || [ "$old" = "$before" ] || rm -rf "$old"
	done
	say "$("$new/bin/avatar" --version | tr -d ',') is installed${before:+ (before: $before)}"
	say "drop jobs into /srv/avatard/inbox as a member of the group avatar: usermod --append --groups avatar NAME"
}

# -- uninstall ------------------------------------------------------------------------------------------------------

uninstall_it() {
	remove_unit api
	remove_unit hooks
	systemctl disable --now --quiet avatard.service 2>/dev/null || true
	rm -f "$unit/avatard.service" /usr/local/bin/avatar "$completions/avatar" "$manual/avatar.1"
	rm -f /usr/local/lib/sysusers.d/avatard.conf /usr/local/lib/tmpfiles.d/avatard.conf
	rm -f /etc/systemd/system/avatard.service.d/50-backoff.conf /etc/systemd/system/avatard.service.d/cpu-only.conf
	rmdir /etc/systemd/system/avatard.service.d 2>/dev/null || true
	rm -rf "$home" /var/cache/avatard
	systemctl daemon-reload
	if [ "$purge" = yes ]; then
		rm -rf /srv/avatard /var/lib/avatard /etc/avatard
		userdel avatard-api 2>/dev/null || true
		userdel avatard-hooks 2>/dev/null || true
		userdel avatard 2>/dev/null || true
		groupdel avatar 2>/dev/null || true
		say "removed, with all jobs, results, models and settings"
	else
		say "removed; kept: /srv/avatard, /var/lib/avatard, /etc/avatard, the user and the groups (all of it goes with --purge)"
	fi
}

extras="musetalk xtts generate languages japanese fonts transcribe whisper api mcp ray hooks"
action=${1:-} cpu_only=keep musetalk=keep xtts=keep generate=keep languages=keep japanese=keep fonts=keep transcribe=keep whisper=keep api=keep mcp=keep ray=keep hooks=keep voices=keep start=yes purge=no
[ $# -eq 0 ] || shift
for option; do
	case $option in
	--cpu-only) cpu_only=yes ;;
	--gpu) cpu_only=no ;;
	--musetalk) musetalk=yes ;;
	--no-musetalk) musetalk=no ;;
	--xtts) xtts=yes ;;
	--no-xtts) xtts=no ;;
	--generate) generate=yes ;;
	--no-generate) generate=no ;;
	--languages) languages=yes ;;
	--no-languages) languages=no ;;
	--japanese) japanese=yes ;;
	--no-japanese) japanese=no ;;
	--fonts) fonts=yes ;;
	--no-fonts) fonts=no ;;
	--transcribe) transcribe=yes ;;
	--no-transcribe) transcribe=no ;;
	--whisper) whisper=yes ;;
	--no-whisper) whisper=no ;;
	--ray) ray=yes ;;
	--no-ray) ray=no ;;
	--api) api=yes ;;
	--no-api) api=no ;;
	--mcp) mcp=yes ;;
	--no-mcp) mcp=no ;;
	--hooks) hooks=yes ;;
	--no-hooks) hooks=no ;;
	--voices) voices=yes ;;
	--no-voices) voices=no ;;
	--no-start) start=no ;;
	--purge) purge=yes ;;
	*) fail "unknown option $option; see the head of $0" ;;
	esac
done
case $action in
install | upgrade) install_it ;;
uninstall) uninstall_it ;;
*) fail "say install, upgrade or uninstall" ;;
esac
