#!/bin/sh
# install.sh knows every file of an installation and its mode: what `make install`
# puts in place, `make uninstall` removes and the Debian package holds.
#
#   build/install.sh install BINARY LIBRARY     below DESTDIR
#   build/install.sh uninstall                  configuration and state stay
#
# DESTDIR, PREFIX, SYSCONFDIR and UNITDIR come from the Makefile; unit and
# configurations name the paths that these give. The commands look for the
# configuration in /etc/egret: with another SYSCONFDIR they need --config. Manual pages and the like are
# taken from dist/share, where build/share.sh writes them.
set -eu
cd "$(dirname "$0")/.."
umask 022

PREFIX=${PREFIX:-/usr} SYSCONFDIR=${SYSCONFDIR:-/etc} UNITDIR=${UNITDIR:-/usr/lib/systemd/system} DESTDIR=${DESTDIR:-}
DOC=$PREFIX/share/doc/egret

# put MODE FROM TO handles one file.
put() {
	mode=$1 from=$2 to=$DESTDIR$3
	case $action in
	install)
		mkdir -p "$(dirname "$to")"
		install -m "$mode" "$from" "$to"
		case $from in configs/* | systemd/*)
			sed -i -e "s#/usr/bin/egret#$PREFIX/bin/egret#g" -e "s#/usr/share/egret#$PREFIX/share/egret#g" \
				-e "s#/usr/share/doc/egret#$DOC#g" -e "s#/etc/egret#$SYSCONFDIR/egret#g" "$to"
			;;
		esac
		;;
	uninstall) rm -f "$to" ;;
	esac
}

# put_each MODE FOLDER FILE… puts files under their own names.
put_each() {
	mode=$1 folder=$2
	shift 2
	for file; do
		[ ! -e "$file" ] || put "$mode" "$file" "$folder/$(basename "$file")"
	done
}

files() {
	put 755 "$binary" "$PREFIX/bin/egret"
	put 644 "$library" "$PREFIX/lib/egret/libtensorflowlite_c.so"
	if [ "$action" = install ] && [ ! -e "$DESTDIR$SYSCONFDIR/egret/egret.yaml" ]; then
		put 644 configs/egret.yaml "$SYSCONFDIR/egret/egret.yaml"
	fi
	put 644 systemd/egret.service "$UNITDIR/egret.service"
	put 644 systemd/egret.sysusers /usr/lib/sysusers.d/egret.conf
	put 644 systemd/egret.tmpfiles /usr/lib/tmpfiles.d/egret.conf
	put 644 systemd/egret.rules /usr/lib/udev/rules.d/70-egret.rules
	for file in $(find -L models -type f | LC_ALL=C sort); do
		put 644 "$file" "$PREFIX/share/egret/$file"
	done
	put_each 644 "$DOC/examples" systemd/drop-ins/*.conf configs/raspberry-pi.yaml configs/jetson.yaml configs/updates.yaml
	put_each 644 "$DOC/examples/integrations" configs/integrations/*
	for section in 1 5; do put_each 644 "$PREFIX/share/man/man$section" dist/share/*."$section".gz; done
	put 644 dist/share/egret.bash "$PREFIX/share/bash-completion/completions/egret"
	put 644 dist/share/_egret "$PREFIX/share/zsh/vendor-completions/_egret"
	put 644 dist/share/egret.fish "$PREFIX/share/fish/vendor_completions.d/egret.fish"
	put_each 644 "$DOC" dist/share/copyright dist/share/changelog.gz dist/share/third-party-licenses.txt.gz
}

action=${1:-} binary=${2:-} library=${3:-}
case $action in
install)
	[ -n "$library" ] || { echo 'usage: build/install.sh install BINARY LIBRARY' >&2; exit 2; }
	files
	;;
uninstall)
	installed=
	if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && # a package's service is not ours
		[ "$(realpath -m "$(systemctl show -p FragmentPath --value egret.service)")" = "$(realpath -m "$UNITDIR/egret.service")" ]; then
		installed=yes
		systemctl disable --now egret.service || { echo 'uninstall: the service could not be stopped; nothing is removed' >&2; exit 1; }
	fi
	files
	# Folders of our own: nothing is in them but what was put there.
	rm -rf "$DESTDIR$PREFIX/lib/egret" "$DESTDIR$PREFIX/share/egret" "$DESTDIR$DOC"
	rm -f "$DESTDIR$PREFIX"/share/man/man1/egret.1.gz "$DESTDIR$PREFIX"/share/man/man1/egret-*.1.gz "$DESTDIR$PREFIX/share/man/man5/egret.yaml.5.gz"
	[ -z "$installed" ] || systemctl daemon-reload
	echo "kept: $DESTDIR$SYSCONFDIR/egret and the state folder"
	;;
*) echo 'usage: build/install.sh install BINARY LIBRARY | uninstall' >&2; exit 2 ;;
esac
