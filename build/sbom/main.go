// Command sbom says what is inside a built egret: a CycloneDX bill of materials,
// or the texts of the licences. It reads the binary's own build information, so
// that nothing is named that is not linked, and the module cache that the binary
// was built from. The same binary gives the same bytes.
//
//	sbom -bom OUT.json [-arch ARCH] BINARY
//	sbom -licences OUT.txt BINARY
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	bom := flag.String("bom", "", "write a CycloneDX 1.6 bill of materials to this file")
	arch := flag.String("arch", "", "name the native parts of this architecture too")
	licences := flag.String("licences", "", "write the licences of everything that is linked to this file")
	flag.Parse()
	if flag.NArg() != 1 || (*bom == "") == (*licences == "") {
		fmt.Fprintln(os.Stderr, "usage: sbom -bom OUT.json [-arch ARCH] BINARY | -licences OUT.txt BINARY")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *bom, *arch, *licences); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(binary, bom, arch, licences string) error {
	p, err := openProgram(binary)
	if err != nil {
		return err
	}
	if licences != "" {
		return writeLicences(licences, p)
	}
	var native []part
	if arch != "" {
		if native, err = nativeParts(arch); err != nil {
			return err
		}
	}
	return writeBOM(bom, p, native)
}
