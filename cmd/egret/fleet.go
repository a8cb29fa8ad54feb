package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/fleet"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/release"
)

func newFleet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Roll a signed release out to a cohort of devices, and watch it",
		Long: `Each command writes one retained document to the broker, reads it back and ends:
nothing has to keep running. Devices decide by the document and by what was
signed. docs/UPDATES.md tells all.`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newFleetStart(), newFleetStatus(), newFleetPause(), newFleetResume(), newFleetAbort(), newFleetPromote(), newFleetClear())
	return cmd
}

// fleetFlags are for every command of fleet.
type fleetFlags struct {
	passwordFile string
	tls          mqtt.TLSFiles
	opts         fleet.Options
}

func (o *fleetFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.opts.Broker, "broker", "tcp://127.0.0.1:1883", "the broker's `address`, also mqtts://, ws:// and wss://")
	f.StringVar(&o.opts.Username, "username", "", "the operator's `name` at the broker")
	f.StringVar(&o.passwordFile, "password-file", "", "`file` whose first line is the password")
	f.StringVar(&o.tls.CA, "ca", "", "`file` of certificate authorities in PEM, instead of the system's")
	f.StringVar(&o.tls.Cert, "cert", "", "client certificate `file` in PEM")
	f.StringVar(&o.tls.Key, "key", "", "its key `file` in PEM")
	f.StringVar(&o.opts.Fleet, "fleet", "default", "the fleet's `name`")
	f.StringVar(&o.opts.Cohort, "cohort", "default", "the cohort's `name`")
	f.StringVar(&o.opts.Pin, "pin", "", "the document of this `device` alone, instead of the cohort's")
	f.DurationVar(&o.opts.Timeout, "timeout", 30*time.Second, "give up after this `time`")
}

// desk is the operator's place at the broker, from the flags.
func (o *fleetFlags) desk() (*fleet.Desk, error) {
	if o.opts.Timeout <= 0 || o.opts.Timeout > time.Hour {
		return nil, usageError{fmt.Errorf("--timeout %v: give up to 1h", o.opts.Timeout)}
	}
	if o.passwordFile != "" {
		o.opts.Password = func() (string, error) {
			line, err := firstLine(o.passwordFile)
			return string(line), err
		}
	}
	var err error
	if o.opts.TLS, err = o.certificates(); err != nil {
		return nil, err
	}
	d, err := fleet.New(o.opts)
	if err != nil {
		return nil, usageError{err}
	}
	return d, nil
}

// certificates: with an open address they would be left out in silence.
func (o *fleetFlags) certificates() (*tls.Config, error) {
	if o.tls == (mqtt.TLSFiles{}) {
		return nil, nil
	}
	if scheme, _, _ := strings.Cut(o.opts.Broker, "://"); slices.Contains([]string{"tcp", "mqtt", "ws"}, scheme) {
		return nil, usageError{fmt.Errorf("--ca, --cert and --key are for encrypted addresses, not for %s://: use mqtts:// or wss://", scheme)}
	}
	if (o.tls.Cert == "") != (o.tls.Key == "") {
		return nil, usageError{errors.New("--cert and --key: give both or none")}
	}
	return mqtt.TLSConfig(o.tls)
}

// interruptible ends with Ctrl-C.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// fleetChange is a command's work: write, read back, say what is in force.
func fleetChange(cmd *cobra.Command, o *fleetFlags, do func(context.Context, *fleet.Desk) (string, error)) error {
	d, err := o.desk()
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	line, err := do(ctx, d)
	if err != nil {
		return fleetHint(err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
	return err
}

// fleetHint adds what to try to the errors that people meet.
func fleetHint(err error) error {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, fleet.ErrNone):
		return fmt.Errorf("%w: egret fleet start begins one; are --fleet and --cohort right?", err)
	case errors.Is(err, fleet.ErrUnreadable):
		return fmt.Errorf("%w: egret fleet start --force replaces it, egret fleet clear removes it", err)
	case errors.Is(err, fleet.ErrOther):
		return fmt.Errorf("%w: egret fleet abort ends it, egret fleet promote gives it to all, --force replaces it as it is", err)
	case errors.Is(err, fleet.ErrAborted):
		return fmt.Errorf("%w: egret fleet start begins anew", err)
	case errors.Is(err, fleet.ErrSmaller):
		return fmt.Errorf("%w: egret fleet pause stops it where it is, abort takes it back", err)
	case errors.Is(err, fleet.ErrEnd):
		return fmt.Errorf("%w: egret fleet clear, and start under another release name", err)
	case errors.Is(err, fleet.ErrOverwritten):
		return fmt.Errorf("%w: look at it with egret fleet status", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w, on this command line with --ca", err)
	}
	return err
}

func newFleetStart() *cobra.Command {
	var o fleetFlags
	var next release.Rollout
	var percent string
	var jitter time.Duration
	var force bool
	cmd := &cobra.Command{
		Use:   "start MODEL/VERSION",
		Short: "Begin a rollout: some of the cohort take a release",
		Long: `Begins a rollout: the share of the cohort that --percent says takes the release
that is signed as models/<model>/<version>.zip. Which devices these are follows
from --salt; a larger share later has them all.`,
		Example: `  egret fleet start cats/3 --percent 5 --jitter 10m
  egret fleet start cats/3 --release summer-3 --percent 5 --on-abort stay
  egret fleet start cats/3 --pin cam-7`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			if err := complete(&next, args[0], percent, jitter, o.opts.Pin != ""); err != nil {
				return usageError{err}
			}
			return fleetChange(cmd, &o, func(ctx context.Context, d *fleet.Desk) (string, error) {
				return d.Change(ctx, fleet.Start(next, force, time.Now()))
			})
		}),
	}
	o.add(cmd)
	f := cmd.Flags()
	f.StringVar(&next.Release, "release", "", "the release's `name` (default <model>-<version>)")
	f.StringVar(&percent, "percent", "", "`share` of the cohort, 0.01 to 100; needed, but for --pin")
	f.DurationVar(&jitter, "jitter", 0, "spread downloads over this `time`, up to 24h")
	f.StringVar(&next.OnAbort, "on-abort", release.Previous, "what those do that have it when it is aborted: `stay or previous`")
	f.StringVar(&next.Salt, "salt", "", "choose devices by this `text` (default <release>-<gen>)")
	f.BoolVar(&force, "force", false, "replace a rollout that goes on, or one that cannot be read")
	return cmd
}

// complete fills in what the command line says, and checks it.
func complete(r *release.Rollout, what, percent string, jitter time.Duration, pinned bool) (err error) {
	m, err := fleet.ParseModel(what)
	if err != nil {
		return err
	}
	switch {
	case percent == "" && pinned:
		percent = "100"
	case percent == "":
		return errors.New("give the share of the cohort with --percent: begin small, egret fleet promote makes it larger")
	}
	if r.BasisPoints, err = fleet.ParsePercent(percent); err != nil {
		return err
	}
	if jitter < 0 || jitter%time.Second != 0 {
		return fmt.Errorf("--jitter %v: give whole seconds, up to 24h", jitter)
	}
	r.Target, r.JitterS = release.Target(m), int(min(jitter.Seconds(), 1<<30))
	if r.Release == "" {
		r.Release = fmt.Sprintf("%s-%d", m.Name, m.Version)
	}
	// What fleet.Start fills in later, for the check alone.
	checked := *r
	checked.Gen, checked.Rev, checked.State = 1, 1, release.Running
	if checked.Salt == "" {
		checked.Salt = "salt"
	}
	return checked.Check()
}

// newFleetState is a command that changes a rollout's state alone.
func newFleetState(use, short, long string, plan func() fleet.Plan) *cobra.Command {
	var o fleetFlags
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    long,
		Example: "  egret fleet " + use + " --cohort west",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			return fleetChange(cmd, &o, func(ctx context.Context, d *fleet.Desk) (string, error) { return d.Change(ctx, plan()) })
		}),
	}
	o.add(cmd)
	return cmd
}

func newFleetPause() *cobra.Command {
	return newFleetState("pause", "Let no more devices begin; who has begun goes on", "", fleet.Pause)
}

func newFleetResume() *cobra.Command {
	return newFleetState("resume", "Go on after a pause", "", fleet.Resume)
}

func newFleetAbort() *cobra.Command {
	return newFleetState("abort", "Take a rollout back", `Takes a rollout back: nobody begins, and those who have the release do what
--on-abort of egret fleet start said. It is final: start begins anew.`, fleet.Abort)
}

func newFleetPromote() *cobra.Command {
	var o fleetFlags
	var percent string
	cmd := &cobra.Command{
		Use:     "promote",
		Short:   "Let a larger share of the cohort take the release",
		Example: "  egret fleet promote --percent 50\n  egret fleet promote",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			share, err := fleet.ParsePercent(percent)
			if err != nil {
				return usageError{err}
			}
			return fleetChange(cmd, &o, func(ctx context.Context, d *fleet.Desk) (string, error) {
				return d.Change(ctx, fleet.Promote(share))
			})
		}),
	}
	o.add(cmd)
	cmd.Flags().StringVar(&percent, "percent", "100", "`share` of the cohort, 0.01 to 100")
	return cmd
}

func newFleetClear() *cobra.Command {
	var o fleetFlags
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "Remove the rollout document, or a device's pin",
		Long: `Removes the rollout document, or with --pin that of a device, which then follows
its cohort again. Devices keep what they have: to take a release back, abort.`,
		Example: "  egret fleet clear --pin cam-7",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			return fleetChange(cmd, &o, func(ctx context.Context, d *fleet.Desk) (string, error) { return d.Clear(ctx) })
		}),
	}
	o.add(cmd)
	return cmd
}
