//go:build mandoc

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// The command `man` writes the manual pages of the packages; only builds with
// the tag mandoc have it (build/share.sh).
func init() {
	extra = append(extra, func() *cobra.Command {
		return &cobra.Command{
			Use:    "man DIR CONFIG.yaml",
			Short:  "Write a manual page for each command and one for the configuration into DIR",
			Hidden: true,
			Args:   cobra.ExactArgs(2),
			RunE: work(func(cmd *cobra.Command, args []string) error {
				return writeManual(cmd.Root(), args[0], args[1])
			}),
		}
	})
}

func writeManual(root *cobra.Command, dir, config string) error {
	at := time.Unix(0, 0).UTC()
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		seconds, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH=%q is not a number of seconds", s)
		}
		at = time.Unix(seconds, 0).UTC()
	}
	head := doc.GenManHeader{Section: "1", Date: &at, Source: "egret " + version, Manual: "egret"}
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &head, dir); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	return writeConfigPage(filepath.Join(dir, "egret.yaml.5"), config, at)
}

// writeConfigPage makes egret.yaml(5) of the shipped configuration, whose
// comments say what each field is for.
func writeConfigPage(path, config string, at time.Time) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return fmt.Errorf("the configuration's manual page: %w", err)
	}
	var page strings.Builder
	fmt.Fprintf(&page, ".TH \"EGRET.YAML\" \"5\" \"%s\" \"egret %s\" \"egret\"\n", at.Format("Jan 2006"), version)
	page.WriteString(`.SH NAME
egret.yaml \- configuration of the egret inference agent
.SH SYNOPSIS
/etc/egret/egret.yaml
.SH DESCRIPTION
The file is strict YAML: an unknown field is an error.
\fBegret config check\fP finds mistakes, \fBegret config print\fP shows the values in effect,
\fBegret config schema\fP prints a JSON Schema for editors, and
\fBsystemctl reload egret\fP takes changes in without a gap.
.PP
The file as it is shipped explains every field:
.PP
.nf
`)
	for line := range strings.Lines(string(text)) {
		page.WriteString(roff(line))
	}
	page.WriteString(".fi\n.SH SEE ALSO\n\\fBegret(1)\\fP, \\fBegret-config(1)\\fP, \\fBegret-doctor(1)\\fP\n")
	return os.WriteFile(path, []byte(page.String()), 0o644)
}

// roff keeps troff from reading a line as its own.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
