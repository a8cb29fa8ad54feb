package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/fleet/repo"
)

func newRepoStatus() *cobra.Command {
	var dir string
	var warn float64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show versions, expiry, keys, what is staged and the releases",
		Long: `Shows versions, expiry, keys, what is staged and the releases. The exit code is
1 when something has expired, or expires within --warn days.`,
		Example: `  egret repo status --repo /srv/models
  egret repo status --warn 0.5 --json`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			if !(warn >= 0 && warn <= 3650) || math.IsNaN(warn) {
				return usageError{fmt.Errorf("--warn %v: give 0 to 3650 days", warn)}
			}
			return withRepo(dir, func(r *repo.Repo) error {
				s, err := r.Status(time.Duration(warn * 24 * float64(time.Hour)))
				if err != nil {
					return err
				}
				w := cmd.OutOrStdout()
				if asJSON {
					err = json.NewEncoder(w).Encode(s)
				} else {
					err = printStatus(w, s)
				}
				if err == nil && len(s.Warnings) > 0 {
					err = errSaid
				}
				return err
			})
		}),
	}
	repoFlag(cmd, &dir)
	cmd.Flags().Float64Var(&warn, "warn", 0, "fail when something expires within so many `days`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, s repo.Status) error {
	for _, r := range s.Roles {
		left := r.Left + " left"
		if strings.HasSuffix(r.Left, "ago") {
			left = "expired " + r.Left
		}
		fmt.Fprintf(w, "%-10s version %-5d %-22s %s  %d of %d keys: %s\n", r.Role, r.Version, left, r.Expires.Format(time.DateOnly), r.Threshold, len(r.Keys), shortIDs(r.Keys))
	}
	if err := printStaged(w, s); err != nil {
		return err
	}
	for _, model := range slices.Sorted(maps.Keys(s.MinSequence)) {
		fmt.Fprintf(w, "policy     %s from sequence %d on\n", model, s.MinSequence[model])
	}
	for _, t := range s.Targets {
		note := ""
		if t.Staged {
			note += "  staged"
		}
		if t.Withdrawn {
			note += "  withdrawn"
		}
		hardware := "any hardware"
		if len(t.Hardware) > 0 {
			hardware = strings.Join(t.Hardware, ",")
		}
		fmt.Fprintf(w, "target     %-24s release %s  sequence %d  model %s version %d  %d bytes  %s%s\n", t.Target, t.Release, t.Sequence, t.Model.Name, t.Model.Version, t.Bytes, hardware, note)
	}
	for _, text := range s.Warnings {
		fmt.Fprintf(w, "warning    %s\n", text)
	}
	return nil
}

func printStaged(w io.Writer, s repo.Status) error {
	for _, st := range s.Staged {
		state := "can be published"
		if st.Missing != "" {
			state = "has " + st.Missing
		}
		if _, err := fmt.Fprintf(w, "staged     %s version %d %s\n", st.Role, st.Version, state); err != nil {
			return err
		}
	}
	return nil
}

func shortIDs(ids []string) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = fmt.Sprintf("%.8s", id)
	}
	return strings.Join(short, " ")
}
