#!/bin/sh
# Like the official image's entrypoint, ask for a login when ACTIVEMQ_CONNECTION_USER is set; unlike it, change no file.
set -eu
if [ -n "${ACTIVEMQ_CONNECTION_USER:-}" ] && [ -z "${ACTIVEMQ_XML:-}" ]; then
	export ACTIVEMQ_XML="$ACTIVEMQ_CONF/activemq-login.xml"
fi
exec "$@"
