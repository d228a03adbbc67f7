#!/bin/sh
# layout.sh ROOT: run by mmdebstrap when the packages are installed below ROOT. Gives Debian's ActiveMQ the layout of the
# image apache/activemq-classic: everything below /opt/apache-activemq.
set -eu
home="$1/opt/apache-activemq"
mkdir -p "$home/bin" "$home/lib/optional" "$home/lib/extra" "$home/conf" "$home/data" "$home/tmp"
ln -s /usr/share/java/activemq-run.jar "$home/bin/activemq.jar"
link() { # link FROM TO: a link in TO for each jar of FROM whose file is there (Debian's has links to packages it only recommends)
	for jar in "$1/$2"/*.jar; do
		name=$(basename "$jar")
		target=$(readlink "$jar" || echo "$name")
		[ -e "$1/usr/share/java/$(basename "$target")" ] || continue
		ln -s "/usr/share/java/$(basename "$target")" "$3/$name"
	done
}
link "$1" usr/share/activemq/lib "$home/lib"
link "$1" usr/share/activemq/lib/optional "$home/lib/optional"
for name in xstream jettison; do # statistics, advisories and transformations need them
	ln -s "/usr/share/java/$name.jar" "$home/lib/extra/$name.jar"
done
chown -R 1000:1000 "$home/data" "$home/tmp"
rm -f "$1/usr/bin/activemq" # another one than the layout's
rm -rf "$1"/var/cache/* "$1"/var/log/* "$1"/var/lib/activemq "$1"/etc/activemq
