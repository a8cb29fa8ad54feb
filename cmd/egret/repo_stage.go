package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/fleet/repo"
	"github.com/egret-edge/egret/sync/release"
)

// releaseModel is the model and version of a bundle: what the flags say, else
// what its file name does.
func releaseModel(path, name string, version int) (release.Model, error) {
	m, err := packedModel(path)
	if name != "" {
		m.Name = name
	}
	if version != 0 {
		m.Version = version
	}
	if err != nil && (name == "" || version == 0) {
		return release.Model{}, usageError{fmt.Errorf("%w: give --model and --model-version", err)}
	}
	return m, nil
}

func newRepoAdd() *cobra.Command {
	var dir, model string
	var version int
	var m release.Meta
	cmd := &cobra.Command{
		Use:   "add BUNDLE.zip",
		Short: "Stage a bundle as a release",
		Example: `  egret repo add cats-3.zip --repo /srv/models --release cats-3 --sequence 3
  egret repo add cats-3.zip --release cats-3 --sequence 3 --hardware linux/arm64 --min-agent 1.4.0 --min-agreement 0.9`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) (err error) {
			if m.Model, err = releaseModel(args[0], model, version); err != nil {
				return err
			}
			if err := m.Check(); err != nil {
				return usageError{err}
			}
			return withRepo(dir, func(r *repo.Repo) error {
				target, err := r.Add(args[0], m)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "staged %s as release %s, sequence %d: sign and publish it\n", target, m.Release, m.Sequence)
				return err
			})
		}),
	}
	repoFlag(cmd, &dir)
	f := cmd.Flags()
	f.StringVar(&m.Release, "release", "", "the release's `name`")
	f.Uint64Var(&m.Sequence, "sequence", 0, "a `number` higher than those of the model's releases before")
	f.StringVar(&model, "model", "", "the model's `name`, if the file's name does not say it")
	f.IntVar(&version, "model-version", 0, "the model's `version`, if the file's name does not say it")
	f.StringArrayVar(&m.Hardware, "hardware", nil, "`platform` that it is for, such as linux/arm64; may be repeated (default: any)")
	f.StringVar(&m.MinAgent, "min-agent", "", "the oldest `version` of the agent that may run it")
	f.Float64Var(&m.Limits.MinAgreement, "min-agreement", 0, "the least `share` of frames, 0 to 1, on which it must agree with the model before")
	f.Float64Var(&m.Limits.MaxScoreShift, "max-score-shift", 0, "how `far` the distributions of both models' scores may lie apart, 0 to 1")
	f.Float64Var(&m.Limits.MaxSlowdown, "max-slowdown", 0, "how many `times` slower than the model before it may be")
	f.Uint64Var(&m.Limits.MaxMemory, "max-memory", 0, "how many `bytes` of memory its process may hold")
	_ = cmd.MarkFlagRequired("release")
	_ = cmd.MarkFlagRequired("sequence")
	return cmd
}

func newRepoWithdraw() *cobra.Command {
	var dir string
	var low uint64
	cmd := &cobra.Command{
		Use:     "withdraw MODEL --min-sequence N",
		Short:   "Stage that releases of a model below a sequence number are not installed any more",
		Example: "  egret repo withdraw cats --min-sequence 4",
		Args:    cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			return withRepo(dir, func(r *repo.Repo) error {
				if err := r.Withdraw(args[0], low); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "staged that releases of %s below sequence %d are withdrawn: sign and publish it\n", args[0], low)
				return err
			})
		}),
	}
	repoFlag(cmd, &dir)
	cmd.Flags().Uint64Var(&low, "min-sequence", 0, "the lowest sequence `number` that may be installed")
	_ = cmd.MarkFlagRequired("min-sequence")
	return cmd
}

func newRepoRenew() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:       "renew {root | targets}",
		Short:     "Stage metadata anew, with a later expiry (publish renews snapshot and timestamp)",
		Example:   "  egret repo renew targets",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{repo.RoleRoot, repo.RoleTargets},
		RunE: work(func(cmd *cobra.Command, args []string) error {
			return withRepo(dir, func(r *repo.Repo) error {
				if err := r.Renew(args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "staged %s with a later expiry: sign and publish it\n", args[0])
				return err
			})
		}),
	}
	repoFlag(cmd, &dir)
	return cmd
}

func newRepoRotate() *cobra.Command {
	var dir, keys, revoke, passFile string
	cmd := &cobra.Command{
		Use:   "rotate {root | targets | online}",
		Short: "Make a new key for a role and stage a root that revokes the old one",
		Example: `  egret repo rotate online --keys ~/egret-keys
  egret repo rotate root --revoke 3f2a9c41 --keys ~/egret-keys`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{repo.RoleRoot, repo.RoleTargets, repo.RoleOnline},
		RunE: work(func(cmd *cobra.Command, args []string) error {
			ask, err := passphrases(cmd, passFile)
			if err != nil {
				return err
			}
			return withRepo(dir, func(r *repo.Repo) error {
				made, revoked, err := r.Rotate(args[0], keys, revoke, ask)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "made the %s key %s\nstaged a root that revokes %.8s: sign it with old and new root keys, and publish it\n", made.Role, made.Path, revoked)
				return err
			})
		}),
	}
	repoFlag(cmd, &dir)
	cmd.Flags().StringVar(&keys, "keys", "", "`folder` for the new key")
	cmd.Flags().StringVar(&revoke, "revoke", "", "`key` to revoke: the first digits of its ID (default: the role's only one)")
	_ = cmd.MarkFlagRequired("keys")
	passphraseFlag(cmd, &passFile)
	return cmd
}

func newRepoSign() *cobra.Command {
	var dir, passFile string
	var keyPaths []string
	cmd := &cobra.Command{
		Use:   "sign --keys FILE…",
		Short: "Sign what is staged with the keys at hand; others may add theirs later",
		Example: `  egret repo sign --keys ~/egret-keys
  egret repo sign --keys /media/usb/root-3f2a9c41.key`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			keys, ask, err := keysAndPassphrases(cmd, keyPaths, passFile)
			if err != nil {
				return err
			}
			return withRepo(dir, func(r *repo.Repo) error {
				done, err := r.Sign(keys, ask)
				if err != nil {
					return err
				}
				s, err := r.Status(0)
				if err != nil {
					return err
				}
				for _, d := range done {
					fmt.Fprintf(cmd.OutOrStdout(), "signed %s %d with key %.8s\n", d.Role, d.Version, d.Key)
				}
				return printStaged(cmd.OutOrStdout(), s)
			})
		}),
	}
	repoFlag(cmd, &dir)
	keysFlag(cmd, &keyPaths)
	passphraseFlag(cmd, &passFile)
	return cmd
}

func newRepoPublish() *cobra.Command {
	var dir, passFile string
	var keyPaths []string
	cmd := &cobra.Command{
		Use:   "publish --keys FILE…",
		Short: "Check all and publish what is staged; renew snapshot and timestamp",
		Long: `Checks signatures, thresholds, versions and every target's file, then publishes
what is staged under a new snapshot and a new timestamp. With nothing staged it
renews these two: run it from a timer, more often than the timestamp expires.
Only the online key is needed, and when it was rotated, the old one too if you
have it: then devices follow without a gap.`,
		Example: "  egret repo publish --keys /etc/egret/online-3f2a9c41.key --passphrase-file /etc/egret/passphrase",
		Args:    cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			keys, ask, err := keysAndPassphrases(cmd, keyPaths, passFile)
			if err != nil {
				return err
			}
			return withRepo(dir, func(r *repo.Repo) error {
				p, err := r.Publish(keys, ask)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "published root %d, targets %d, snapshot %d, timestamp %d: publish again before %s\n",
					p.Root, p.Targets, p.Snapshot, p.Timestamp, p.Until.Local().Format("2006-01-02 15:04"))
				return err
			})
		}),
	}
	repoFlag(cmd, &dir)
	keysFlag(cmd, &keyPaths)
	passphraseFlag(cmd, &passFile)
	return cmd
}

func keysAndPassphrases(cmd *cobra.Command, paths []string, passFile string) ([]*repo.KeyFile, repo.Passphrase, error) {
	ask, err := passphrases(cmd, passFile)
	if err != nil {
		return nil, nil, err
	}
	keys, err := repo.FindKeys(paths...)
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("%w: there is no .key file in %s", repo.ErrNoKey, paths)
	}
	if errors.Is(err, repo.ErrNoKey) {
		err = repoHint(err)
	}
	return keys, ask, err
}
