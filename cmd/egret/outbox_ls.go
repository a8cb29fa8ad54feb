package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// waiting is a line of `egret outbox ls`.
type waiting struct {
	Seq     uint64     `json:"seq"` // the outbox's own number, which retry takes
	ID      string     `json:"id"`
	Time    time.Time  `json:"time"`
	Camera  string     `json:"camera"`
	Label   string     `json:"label"` // the best result's
	Bytes   int        `json:"bytes"`
	Refused *time.Time `json:"refused,omitempty"` // dead letters only, like Reason
	Reason  string     `json:"reason,omitempty"`
}

// lineOf leaves empty what a record does not say.
func lineOf(seq uint64, rec []byte) waiting {
	var p payload.Prediction
	_ = json.Unmarshal(rec, &p) // a dead letter may be anything
	w := waiting{Seq: seq, ID: p.ID, Time: p.Time, Camera: p.Camera, Bytes: len(rec)}
	if len(p.Results) > 0 {
		if w.Label = p.Results[0].Label; w.Label == "" {
			w.Label = fmt.Sprint(p.Results[0].Index)
		}
	}
	return w
}

func (l waiting) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%-8d %-24s %-16s %-24q %6d", l.Seq, l.Time.Format("2006-01-02T15:04:05.000Z07:00"), l.Camera, l.Label, l.Bytes)
	if l.Refused != nil {
		_, err = fmt.Fprintf(w, "  %s  %s", l.Refused.Format(time.RFC3339), l.Reason)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// errEnough ends a listing at its limit.
var errEnough = errors.New("enough")

func newOutboxLs() *cobra.Command {
	var config, stateDir string
	var dead, asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the waiting predictions, oldest first: number, time, camera, top label, bytes",
		Example: `  egret outbox ls --limit 20
  egret outbox ls --dead`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError{fmt.Errorf("--limit %d: give a number from 1, or leave it out for all", limit)}
			}
			path, err := outboxPath(config, stateDir)
			if err != nil {
				return err
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			enc, n := json.NewEncoder(w), 0
			show := func(l waiting) error {
				if n++; limit > 0 && n > limit {
					return errEnough
				}
				if asJSON {
					return enc.Encode(l)
				}
				return l.print(w)
			}
			if dead {
				err = outbox.DeadLetters(path, func(l outbox.Letter) error {
					line := lineOf(l.Seq, l.Record)
					line.Refused, line.Reason = &l.Time, l.Reason
					return show(line)
				})
			} else {
				err = outbox.Export(path, func(seq uint64, rec []byte) error { return show(lineOf(seq, rec)) })
			}
			if errors.Is(err, errEnough) {
				err = nil
			}
			return errors.Join(outboxHint(err), w.Flush())
		}),
	}
	outboxFlags(cmd, &config, &stateDir)
	cmd.Flags().BoolVar(&dead, "dead", false, "the dead letters instead, with when and why they were refused")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line")
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most `N` (default: all)")
	return cmd
}
