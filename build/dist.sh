#!/bin/sh
# dist.sh puts beside the Debian packages what else is given to people: the
# operator's tool in an archive for each system, a bill of materials for each
# architecture, and the sums of all of it.
#
# DEB_VERSION, VERSION, COMMIT, SOURCE_DATE_EPOCH and GO come from the Makefile.
set -eu
cd "$(dirname "$0")/.."
umask 022
LC_ALL=C TZ=UTC
export LC_ALL TZ

# Archives hold the tool and the licences, all with the commit's time.
archive() {
	platform=$1 program=$2
	name=egret-tool_${DEB_VERSION}_$platform
	rm -rf dist/pack
	mkdir -p "dist/pack/$name"
	install -m 755 "dist/tool/$3" "dist/pack/$name/$program"
	install -m 644 LICENSE "dist/pack/$name/LICENSE"
	# Not the agent's: each system's tool is linked from parts of its own.
	dist/sbom -licences "dist/pack/$name/third-party-licenses.txt" "dist/tool/$3"
	find dist/pack -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	case $platform in
	windows_*) (cd dist/pack && find "$name" -type f | sort | zip -X -q -9 "../$name.zip" -@) ;;
	*) tar -C dist/pack --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" | gzip -9n >"dist/$name.tar.gz" ;;
	esac
	rm -rf dist/pack
}

rm -f dist/egret-tool_* dist/*.cdx.json dist/SHA256SUMS
CGO_ENABLED=0 "${GO:-go}" build -o dist/sbom ./build/sbom
for file in dist/tool/egret_*; do
	base=$(basename "$file")
	case $base in
	*.exe) platform=${base#egret_} && archive "${platform%.exe}" egret.exe "$base" ;;
	*) archive "${base#egret_}" egret "$base" ;;
	esac
done
for arch in amd64 arm64; do
	dist/sbom -bom "dist/egret_${DEB_VERSION}_$arch.cdx.json" -arch $arch dist/linux_$arch/egret
done
rm dist/sbom
(cd dist && sha256sum -- *.deb *.tar.gz *.zip *.cdx.json >SHA256SUMS)
cat dist/SHA256SUMS
