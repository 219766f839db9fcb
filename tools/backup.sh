#!/bin/sh
# Backs up an installed avatard, and puts it back, also on another machine. As root; needs rsync (apt install rsync):
#   backup.sh save FOLDER [--keep N]              makes FOLDER/2026-01-02T030405Z, and keeps the last N (14) of them; the service is
#                                                 stopped for the copy. Files that did not change are hard links to the copy before
#   backup.sh restore FOLDER[/2026-01-02T030405Z] puts the last one back, or the one that is named; the service stays stopped, and
#                                                 its queue paused
# Both work on what is installed under the usual paths and on the folders in /etc/avatard/config.yaml. docs/year.md explains.
# A copy has `files/` (from / on, those that `folders` names), `people/` (who may use the service, for another machine) and `machine` (what was installed).
set -eu
umask 077 # the copy has people's passwords, as hashes

settings=/etc/avatard/config.yaml
groups="avatar avatard"

say() { echo "avatard: $*"; }
fail() {
	echo "avatard: $*" >&2
	exit 1
}

case ${1:-} in
-h | --help | help)
	sed -n '2,/^[^#]/s/^# //p' "$0"
	exit 0
	;;
esac
[ "$(id -u)" = 0 ] || fail "this wants root"
command -v rsync >/dev/null || fail "this needs rsync: apt install rsync"

# -- save -----------------------------------------------------------------------------------------------------------

save() {
	[ -x /opt/avatard/current/bin/avatar ] || fail "avatard is not installed here"
	case $keep in
	'' | *[!0-9]* | 0) fail "--keep wants a number from 1 on, not '$keep'" ;;
	esac
	mkdir -p "$folder"
	new=$folder/$(date -u +%Y-%m-%dT%H%M%SZ)
	[ ! -e "$new" ] || fail "$new is there already: wait a second"
	part=$folder/.part
	rm -rf "$part"
	mkdir -p "$part/files" "$part/people"
	save_people "$part/people"
	cp /etc/avatard/install.json "$part/machine" 2>/dev/null || echo "{}" >"$part/machine"
	last=$(generations | tail -n 1)
	if systemctl is-active --quiet avatard; then
		save_files >/dev/null 2>&1 || true # the most of it, while the service works; files come and go meanwhile
		trap 'systemctl start avatard' EXIT # also when something below fails
		systemctl stop avatard
	fi
	save_files || fail "the copy failed (see above); nothing was added to $folder"
	mv "$part" "$new"
	sync -f "$new"
	generations | head -n "-$keep" | while read -r old; do rm -rf "$old"; done
	say "saved to $new"
}

generations() { find "$folder" -maxdepth 1 -type d -name '2*Z' | sort; }

# What is there of: settings, state, and the folders that the settings name, but for the cache.
save_files() {
	named=$(paths inbox outbox spool models profiles avatars hooks) || return 1
	set --
	IFS='
'
	for path in /etc/avatard /etc/default/avatard /etc/default/avatard-api \
		/etc/systemd/system/avatard.service.d /etc/systemd/system/avatard-api.service.d \
		/etc/systemd/system/avatard-hooks.service.d /var/lib/avatard /srv/avatard $named; do
		[ ! -e "$path" ] || set -- "$@" "$path"
	done
	unset IFS
	printf '%s\n' "$@" | sort -u >"$part/folders"
	rsync -aHAX --numeric-ids --relative --delete ${last:+"--link-dest=$last/files"} "$@" "$part/files/"
}

paths() {
	/opt/avatard/current/bin/avatar --config $settings config --json | /opt/avatard/current/bin/python -c '
import json, sys
paths = json.load(sys.stdin)["paths"]
print(*(paths[name] for name in sys.argv[1:]), sep="\n")' "$@"
}

save_people() { # INTO
	: >"$1/members"
	: >"$1/passwords"
	: >"$1/groups"
	for group in $groups; do
		getent group "$group" >>"$1/groups" || true
	done
	cut -d: -f4 "$1/groups" | tr , '\n' | sort -u | while read -r name; do
		[ -n "$name" ] && [ "$name" != avatard ] || continue
		getent passwd "$name" >>"$1/members" || true
		getent shadow "$name" >>"$1/passwords" || true
	done
	# Ids of everybody, since files of the inbox may be anybody's; the names are the same on both machines.
	getent passwd | cut -d: -f1,3 >"$1/uids"
	getent group | cut -d: -f1,3 >"$1/gids"
	if command -v pdbedit >/dev/null; then
		pdbedit --list --smbpasswd-style >"$1/samba"
		cp /etc/samba/smb.conf "$1/smb.conf"
	fi
}

# -- restore --------------------------------------------------------------------------------------------------------

restore() {
	from=$folder
	set --
	[ -d "$from/files" ] || from=$(generations | tail -n 1)
	[ -n "$from" ] && [ -d "$from/files" ] || fail "$folder has no copy that this made"
	if [ ! -x /opt/avatard/current/bin/avatar ]; then
		mkdir -p -m 755 /etc/avatard
		install -m 644 "$from/machine" /etc/avatard/install.json
		say "avatard is not installed here. The copy is of: $(tr -d '\n' <"$from/machine")"
		fail "from a checkout of that version: make install OPTIONS=--no-start (it has the options of then); then run this again"
	fi
	[ -z "$(find /var/lib/avatard/spool -type d -name 'job-*' 2>/dev/null | head -n 1)" ] ||
		fail "there are jobs here: systemctl stop avatard, move /var/lib/avatard and /srv/avatard away, systemd-tmpfiles --create avatard.conf"
	systemctl stop avatard
	systemctl stop avatard-api avatard-hooks 2>/dev/null || true # where there are such
	restore_people "$from/people"
	say "copying the files back"
	# What the installer writes is that of this installation.
	maps=$(id_maps "$from/people")
	while read -r path; do
		mkdir -p -m 755 "$(dirname "$path")"
		set -- "$@" "$from/files/.$path"
	done <"$from/folders"
	# Nothing of the folders above them, whose modes are this machine's; all in one call, since files in several are hard links.
	rsync -aHAX $maps --relative --no-implied-dirs --exclude=/etc/avatard/install.json \
		--exclude=/etc/systemd/system/avatard.service.d/50-backoff.conf \
		--exclude=/etc/systemd/system/avatard.service.d/cpu-only.conf "$@" /
	systemd-tmpfiles --create avatard.conf
	for name in avatard-api avatard-hooks; do
		[ ! -e "/usr/local/lib/tmpfiles.d/$name.conf" ] || systemd-tmpfiles --create "$name.conf"
	done
	systemctl daemon-reload
	as_service spool check || say "look at what is said above before you start"
	as_service pause --force --reason "restored from $from" >/dev/null
	say "restored. The service is stopped and its queue paused; docs/year.md says what comes before systemctl start avatard"
}

as_service() { runuser -u avatard -- /opt/avatard/current/bin/avatar --config $settings "$@"; }

# Users that are not here are made, with the ids and passwords they had; those that are here keep theirs.
restore_people() { # FROM
	while IFS=: read -r name _ uid _ words home shell; do
		getent passwd "$name" >/dev/null || make_user "$1" || say "could not make the user $name"
	done <"$1/members"
	while IFS=: read -r group _ _ names; do
		for name in $(echo "$names" | tr , ' '); do
			! getent passwd "$name" >/dev/null || usermod --append --groups "$group" "$name"
		done
	done <"$1/groups"
	[ -s "$1/samba" ] || return 0
	if command -v pdbedit >/dev/null; then
		while IFS=: read -r name _ _ hash flags _; do
			pdbedit --list --user "$name" >/dev/null 2>&1 || restore_samba_user
		done <"$1/samba"
		say "the lines of the share are in $1/smb.conf: put what is missing into /etc/samba/smb.conf, systemctl restart smbd"
	else
		say "Samba is not installed here: apt install samba, smbpasswd -a NAME for each of: $(cut -d: -f1 "$1/samba" | tr '\n' ' ')"
	fi
}

restore_samba_user() { # by the variables of restore_people
	getent passwd "$name" >/dev/null || return 0
	flags=$(echo "$flags" | tr -cd NDHLX) # of the others pdbedit sets none; every account here is a user's
	random=$(od -An -N16 -tx1 /dev/urandom | tr -d ' ')
	printf '%s\n%s\n' "$random" "$random" | smbpasswd -a -s "$name" >/dev/null &&
		pdbedit --modify --user "$name" --set-nt-hash "$hash" ${flags:+--account-control "[$flags]"} >/dev/null &&
		say "put back the Samba password of $name" || say "could not put back the Samba password of $name: smbpasswd -a $name"
}

make_user() { # FROM; the rest is in the variables of restore_people
	hash=$(sed -n "s/^$name:\([^:]*\):.*/\1/p" "$1/passwords")
	set -- --comment "$words" --home-dir "$home" --shell "$shell" --create-home "$name"
	useradd --uid "$uid" "$@" 2>/dev/null || useradd "$@" || return 1
	[ -z "$hash" ] || echo "$name:$hash" | chpasswd --encrypted
	say "made the user $name"
}

# Every name that has another id here: files that were a person's are the same person's.
id_maps() { # FROM
	map usermap passwd "$1/uids"
	map groupmap group "$1/gids"
}

map() { # OPTION DATABASE FILE
	pairs=
	while IFS=: read -r name old; do
		now=$(getent "$2" "$name" | cut -d: -f3)
		[ -z "$now" ] || [ "$now" = "$old" ] || pairs=$pairs${pairs:+,}$old:$now
	done <"$3"
	[ -z "$pairs" ] || echo "--$1=$pairs"
}

action=${1:-} folder=${2:-} keep=14
[ -n "$folder" ] || fail "say: save FOLDER [--keep N], or restore FOLDER; see the head of $0"
case $folder in
/*) ;;
*) folder=$PWD/$folder ;;
esac
cd / # also the service's user may stand there
[ "${3:-}" != --keep ] || keep=${4:-}
case $action in
save) save ;;
restore) restore ;;
*) fail "say save or restore, not '$action'" ;;
esac
