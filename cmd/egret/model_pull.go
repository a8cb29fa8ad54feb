package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/sync/ota"
)

// maxRootFile bounds the pinned root that is read from a file.
const maxRootFile = 256 << 10

// pulled is what `egret model pull --json` says for a release.
type pulled struct {
	ota.Release
	Refused string `json:"refused,omitempty"`
	File    string `json:"file,omitempty"`
}

func newModelPull() *cobra.Command {
	var repo, root, dir, state string
	var web ota.HTTP
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pull [RELEASE]",
		Short: "Download a signed release's bundle, or list what there is",
		Long: `Brings the metadata of a signed repository up to date, then lists its releases,
or downloads and verifies the bundle of the one that is named.

The repository is a folder with metadata/ and targets/ behind http or https.`,
		Example: `  egret model pull --repo https://models.example.com --root root.json
  egret model pull summer-3 --repo https://models.example.com --root root.json --dir models`,
		Args: cobra.MaximumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			base, err := url.Parse(repo)
			if repo == "" || root == "" || err != nil {
				return usageError{errors.New("give the repository's URL with --repo and its root.json with --root")}
			}
			info, err := os.Stat(root)
			if err != nil {
				return fmt.Errorf("read the pinned root: %w: copy root.json from the repository's owner", err)
			}
			if info.Size() > maxRootFile {
				return fmt.Errorf("read the pinned root: %q has more than %d bytes: it is no root.json", root, maxRootFile)
			}
			pinned, err := os.ReadFile(root)
			if err != nil {
				return fmt.Errorf("read the pinned root: %w", err)
			}
			if state == "" {
				state = filepath.Join(dir, ".repository")
			}
			c, err := ota.Open(ota.Options{StateDir: state, MetadataURL: base.JoinPath("metadata").String(), TargetsURL: base.JoinPath("targets").String(),
				Root: pinned, Platform: runtime.GOOS + "/" + runtime.GOARCH, Agent: version, HTTP: web})
			if err != nil {
				return pullHint(err)
			}
			defer c.Close()
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := c.Refresh(ctx); err != nil {
				return pullHint(err)
			}
			out, enc := cmd.OutOrStdout(), json.NewEncoder(cmd.OutOrStdout())
			if len(args) == 0 {
				all, err := c.Releases()
				if err != nil {
					return err
				}
				for _, r := range all {
					line := pulled{Release: r}
					if r.Refused != nil {
						line.Refused = r.Refused.Error()
					}
					if asJSON {
						err = enc.Encode(line)
					} else {
						_, err = fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%-24s %-24s %6d %6d %12d  %s", r.Release, r.Model.Name, r.Model.Version, r.Sequence, r.Length, line.Refused), " "))
					}
					if err != nil {
						return err
					}
				}
				return nil
			}
			rel, err := c.Find(args[0])
			if err != nil {
				return pullHint(err)
			}
			path, err := c.Download(ctx, rel, dir)
			if err != nil {
				return pullHint(err)
			}
			if asJSON {
				return enc.Encode(pulled{Release: rel, File: path})
			}
			_, err = fmt.Fprintf(out, "%s: %s version %d, %d bytes, sha256:%s, verified\n", path, rel.Model.Name, rel.Model.Version, rel.Length, rel.SHA256)
			return err
		}),
	}
	f := cmd.Flags()
	f.StringVar(&repo, "repo", "", "the repository's `URL`")
	f.StringVar(&root, "root", "", "the pinned root `file`")
	f.StringVar(&dir, "dir", "models", "where bundles go")
	f.StringVar(&state, "state", "", "what was verified before (default: .repository in --dir)")
	f.StringVar(&web.Proxy, "proxy", "", "proxy `URL` (default: from the environment)")
	f.StringVar(&web.CAFile, "ca", "", "`file` of certificate authorities in PEM")
	f.StringVar(&web.TokenFile, "token-file", "", "`file` with a bearer token")
	f.Int64Var(&web.Bandwidth, "bandwidth", 0, "at most so many `bytes` per second")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per release")
	return cmd
}

// pullHint adds what to try.
func pullHint(err error) error {
	for kind, hint := range map[error]string{
		ota.ErrExpired:   "the owner must sign it again, or this machine's clock is wrong",
		ota.ErrSignature: "compare --root with the owner's, and tell the owner",
		ota.ErrRollback:  "tell the owner: somebody may be replaying an old repository",
		ota.ErrNotListed: "egret model pull without a release lists what there is",
		ota.ErrNetwork:   "check --repo and the network, then try again: it goes on where it stopped",
		ota.ErrNoSpace:   "free some space, or choose another --dir",
		ota.ErrBusy:      "choose another --state, or wait for that process to end",
	} {
		if errors.Is(err, kind) {
			return fmt.Errorf("%w: %s", err, hint)
		}
	}
	return err
}
