// Command nfpm writes a Debian package from the file that describes it. It is
// nFPM's library with its Debian part alone: the tool itself also brings RPM,
// APK and more. It is a module of its own, so that none of this is a dependency
// of egret.
//
//	nfpm FILE.yaml OUT.deb
package main

import (
	"fmt"
	"os"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: nfpm FILE.yaml OUT.deb")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "nfpm:", err)
		os.Exit(1)
	}
}

// write makes the package out from the description; environment variables in
// the description's fields stand for their values.
func write(description, out string) error {
	config, err := nfpm.ParseFileWithEnvMapping(description, os.Getenv)
	if err != nil {
		return fmt.Errorf("read %s: %w", description, err)
	}
	info := nfpm.WithDefaults(&config.Info)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return fmt.Errorf("%s: %w", description, err)
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := deb.Default.Package(info, file); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", out, err)
	}
	return file.Close()
}
