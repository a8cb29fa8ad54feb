package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/egret-edge/egret/fleet/repo"
)

func newRepo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repo",
		Short: "Make and keep a repository of signed models, as plain files for any web server",
		Long: `A repository is a folder of signed metadata and bundles (The Update Framework).
Devices trust what its keys signed and nothing else. docs/UPDATES.md tells all.`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newRepoInit(), newRepoAdd(), newRepoWithdraw(), newRepoRenew(), newRepoRotate(), newRepoSign(), newRepoPublish(), newRepoStatus())
	return cmd
}

// repoFlag is for every command on a repository that exists.
func repoFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "repo", ".", "the repository's `folder`")
}

// withRepo opens a repository, works on it and closes it.
func withRepo(dir string, fn func(*repo.Repo) error) error {
	r, err := repo.Open(dir)
	if err != nil {
		return repoHint(err)
	}
	return errors.Join(repoHint(fn(r)), r.Close())
}

// repoHint adds what to try to the errors that people meet.
func repoHint(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, repo.ErrNoRepository):
		return fmt.Errorf("%w: name its folder with --repo, or make one with egret repo init", err)
	case errors.Is(err, repo.ErrLocked):
		return fmt.Errorf("%w: try again when it has ended", err)
	case errors.Is(err, repo.ErrPassphrase):
		return fmt.Errorf("%w: name keys with other passphrases one by one with --keys FILE", err)
	case errors.Is(err, repo.ErrNoKey):
		return fmt.Errorf("%w: name key files, or folders of them, with --keys", err)
	case errors.Is(err, repo.ErrThreshold):
		return fmt.Errorf("%w: egret repo sign with the missing keys, egret repo status shows which there are", err)
	case errors.Is(err, repo.ErrExpired):
		return fmt.Errorf("%w: egret repo renew, then sign and publish", err)
	case errors.Is(err, repo.ErrNothing):
		return fmt.Errorf("%w: egret repo add, withdraw, renew or rotate stage something", err)
	case errors.Is(err, repo.ErrTampered):
		return fmt.Errorf("%w: bring the file back from a copy that you trust", err)
	}
	return err
}

const (
	passphraseEnv = "EGRET_PASSPHRASE"
	maxPassphrase = 4096
)

// passphraseFlag is for commands that open or make keys.
func passphraseFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "passphrase-file", "", "`file` whose first line is the keys' passphrase (else "+passphraseEnv+", else the terminal)")
}

// passphrases asks where the person told us to.
func passphrases(cmd *cobra.Command, file string) (repo.Passphrase, error) {
	if file != "" {
		pass, err := firstLine(file)
		if err != nil {
			return nil, fmt.Errorf("passphrase: %w", err)
		}
		return func(*repo.KeyFile, bool) ([]byte, error) { return pass, nil }, nil
	}
	if pass := os.Getenv(passphraseEnv); pass != "" {
		return func(*repo.KeyFile, bool) ([]byte, error) { return []byte(pass), nil }, nil
	}
	stdin, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(stdin.Fd())) {
		return func(k *repo.KeyFile, _ bool) ([]byte, error) {
			return nil, fmt.Errorf("no passphrase for the %s key %s: give --passphrase-file or %s, or work at a terminal", k.Role, k.Path, passphraseEnv)
		}, nil
	}
	ask := func(text string) ([]byte, error) {
		fmt.Fprint(cmd.ErrOrStderr(), text)
		defer fmt.Fprintln(cmd.ErrOrStderr())
		return term.ReadPassword(int(stdin.Fd()))
	}
	return func(k *repo.KeyFile, fresh bool) ([]byte, error) {
		if !fresh {
			return ask(fmt.Sprintf("passphrase of %s: ", k.Path))
		}
		pass, err := ask(fmt.Sprintf("passphrase for the new %s: ", k.Path))
		if err != nil {
			return nil, err
		}
		again, err := ask("again: ")
		if err == nil && !bytes.Equal(pass, again) {
			err = errors.New("the two passphrases differ: nothing was made")
		}
		return pass, err
	}, nil
}

func firstLine(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 || len(line) > maxPassphrase {
		return nil, fmt.Errorf("the first line of %s has %d bytes: 1 to %d are possible", path, len(line), maxPassphrase)
	}
	return line, nil
}

func keysFlag(cmd *cobra.Command, keys *[]string) {
	cmd.Flags().StringSliceVar(keys, "keys", nil, "key `files`, or folders of them")
	_ = cmd.MarkFlagRequired("keys")
}

func newRepoInit() *cobra.Command {
	var passFile string
	o := repo.InitOptions{Expiry: repo.DefaultExpiry()}
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a repository and its keys",
		Example: `  egret repo init /srv/models --keys ~/egret-keys
  egret repo init /srv/models --keys ~/egret-keys --root-keys 3 --root-threshold 2`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) (err error) {
			if o.RootKeys < 1 || o.RootThreshold < 1 {
				return usageError{errors.New("--root-keys and --root-threshold start at 1")}
			}
			if o.Passphrase, err = passphrases(cmd, passFile); err != nil {
				return err
			}
			keys, err := repo.Init(args[0], o)
			if errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("%w: may you write there?", err)
			}
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			for _, k := range keys {
				fmt.Fprintf(w, "made the %s key %s\n", k.Role, k.Path)
			}
			_, err = fmt.Fprintf(w, "made the repository %s: give %s/metadata/1.root.json to the devices, keep the keys apart from it, root and targets offline\n", args[0], strings.TrimSuffix(args[0], "/"))
			return err
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.Keys, "keys", "", "`folder` for the keys, outside the repository")
	f.IntVar(&o.RootKeys, "root-keys", 1, "`number` of root keys")
	f.IntVar(&o.RootThreshold, "root-threshold", 1, "how `many` of them must sign a root")
	f.IntVar(&o.Expiry.Root, "root-days", o.Expiry.Root, "`days` for which a root is valid")
	f.IntVar(&o.Expiry.Targets, "targets-days", o.Expiry.Targets, "`days` for which the list of targets is valid")
	f.IntVar(&o.Expiry.Snapshot, "snapshot-days", o.Expiry.Snapshot, "`days` for which a snapshot is valid")
	f.IntVar(&o.Expiry.Timestamp, "timestamp-days", o.Expiry.Timestamp, "`days` for which a timestamp is valid")
	_ = cmd.MarkFlagRequired("keys")
	passphraseFlag(cmd, &passFile)
	return cmd
}
