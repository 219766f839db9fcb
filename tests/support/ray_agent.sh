#!/bin/sh
# Stands in for the two agents that Ray starts on each machine, for its dashboard and for what actors install: nothing here uses
# them, and they take two seconds of processor time. It writes the files of their ports, which Ray waits for.
for option; do
	case $option in
	--node-id=*) node=${option#*=} ;;
	--session-dir=*) folder=${option#*=} ;;
	esac
done
for name in metrics_agent_port metrics_export_port dashboard_agent_listen_port runtime_env_agent_port; do
	echo 1 >"$folder/$name.$$"
	mv "$folder/$name.$$" "$folder/${name}_$node"
done
# It ends with the process that started it, as they do.
while read -r _ _ _ parent _ <"/proc/$$/stat" && [ "$parent" = "$PPID" ]; do
	sleep 1
done
