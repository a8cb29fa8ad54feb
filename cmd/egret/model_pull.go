package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/sync/ota"
)

// maxRootFile bounds the pinned root that is read from a file.
const maxRootFile = 256 << 10

type pullFlags struct {
	repo, root, dir, state string
	web                    ota.HTTP
	asJSON                 bool
}

// pulled is what `egret model pull --json` says for a release.
type pulled struct {
	ota.Release
	Refused string `json:"refused,omitempty"`
	File    string `json:"file,omitempty"`
}

func newModelPull() *cobra.Command {
	var p pullFlags
	cmd := &cobra.Command{
		Use:   "pull [RELEASE]",
		Short: "Download a signed release's bundle, or list what there is",
		Long: `Brings the metadata of a signed repository up to date, then lists its releases,
or downloads and verifies the bundle of the one that is named.

The repository is a folder with metadata/ and targets/ behind http or https.`,
		Example: `  egret model pull --repo https://models.example.com --root root.json
  egret model pull summer-3 --repo https://models.example.com --root root.json --dir models`,
		Args: cobra.MaximumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error { return pullHint(pull(cmd, args, p)) }),
	}
	f := cmd.Flags()
	f.StringVar(&p.repo, "repo", "", "the repository's `URL`")
	f.StringVar(&p.root, "root", "", "the pinned root `file`")
	f.StringVar(&p.dir, "dir", "models", "where bundles go")
	f.StringVar(&p.state, "state", "", "what was verified before (default: .repository in --dir)")
	f.StringVar(&p.web.Proxy, "proxy", "", "proxy `URL` (default: from the environment)")
	f.StringVar(&p.web.CAFile, "ca", "", "`file` of certificate authorities in PEM")
	f.StringVar(&p.web.TokenFile, "token-file", "", "`file` with a bearer token")
	f.Int64Var(&p.web.Bandwidth, "bandwidth", 0, "at most so many `bytes` per second")
	f.BoolVar(&p.asJSON, "json", false, "print one JSON object per release")
	return cmd
}

func pull(cmd *cobra.Command, args []string, p pullFlags) error {
	o, err := p.options(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if isTerminal(cmd.ErrOrStderr()) && len(args) > 0 {
		o.Progress = bytesBar(cmd.ErrOrStderr())
	}
	c, err := ota.Open(o)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.Refresh(ctx); err != nil {
		return err
	}
	if len(args) == 0 {
		return p.list(cmd.OutOrStdout(), c)
	}
	return p.fetch(ctx, cmd.OutOrStdout(), c, args[0])
}

func (p pullFlags) options(stderr io.Writer) (ota.Options, error) {
	base, err := url.Parse(p.repo)
	switch {
	case p.repo == "" || p.root == "":
		return ota.Options{}, usageError{errors.New("give the repository's URL with --repo and its root.json with --root")}
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return ota.Options{}, usageError{fmt.Errorf("--repo %.200q: give a URL such as https://models.example.com", p.repo)}
	case p.web.Bandwidth < 0:
		return ota.Options{}, usageError{errors.New("--bandwidth: give bytes per second, or 0 for no limit")}
	}
	pinned, err := readRoot(p.root)
	if err != nil {
		return ota.Options{}, fmt.Errorf("read the pinned root: %w: --root names a copy of the repository's first root, such as 1.root.json", err)
	}
	if p.state == "" {
		p.state = filepath.Join(p.dir, ".repository")
	}
	return ota.Options{
		StateDir: p.state, MetadataURL: base.JoinPath("metadata").String(), TargetsURL: base.JoinPath("targets").String(), Root: pinned,
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Agent: version, Built: built(), HTTP: p.web,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, nil
}

func readRoot(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	if err == nil && len(data) > maxRootFile {
		err = fmt.Errorf("%q has more than %d bytes", path, maxRootFile)
	}
	return data, err
}

// built is when the program's source was committed, which no signature that
// counts now is older than; zero when the build does not say.
func built() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				t, _ := time.Parse(time.RFC3339, s.Value)
				return t
			}
		}
	}
	return time.Time{}
}

// bytesBar shows a download on the terminal.
func bytesBar(stderr io.Writer) func(done, total int64) {
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(stderr), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(done)
	}
}

func (p pullFlags) list(out io.Writer, c *ota.Client) error {
	all, err := c.Releases()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	if !p.asJSON && len(all) > 0 {
		fmt.Fprintf(out, "%-24s %-24s %7s %8s %12s\n", "RELEASE", "MODEL", "VERSION", "SEQUENCE", "BYTES")
	}
	for _, r := range all {
		line := pulled{Release: r}
		if r.Refused != nil {
			line.Refused = r.Refused.Error()
		}
		if p.asJSON {
			err = enc.Encode(line)
		} else {
			row := fmt.Sprintf("%-24s %-24s %7d %8d %12d  %s", r.Release, r.Model.Name, r.Model.Version, r.Sequence, r.Length, line.Refused)
			_, err = fmt.Fprintln(out, strings.TrimRight(row, " "))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p pullFlags) fetch(ctx context.Context, out io.Writer, c *ota.Client, name string) error {
	rel, err := c.Find(name)
	if err != nil {
		return err
	}
	path, err := c.Download(ctx, rel, p.dir)
	if err != nil {
		return err
	}
	if p.asJSON {
		return json.NewEncoder(out).Encode(pulled{Release: rel, File: path})
	}
	_, err = fmt.Fprintf(out, "%s: %s version %d, %d bytes, sha256:%s, verified\n", path, rel.Model.Name, rel.Model.Version, rel.Length, rel.SHA256)
	return err
}

// pullHint adds what to try.
func pullHint(err error) error {
	for _, hint := range []struct {
		kind error
		try  string
	}{
		{context.Canceled, "run it again: it goes on where it stopped"},
		{ota.ErrExpired, "the owner must sign it again, or this machine's clock is wrong"},
		{ota.ErrSignature, "compare --root with the owner's, and tell the owner"},
		{ota.ErrRollback, "tell the owner: somebody may be replaying an old repository"},
		{ota.ErrCorrupt, "the server or what is between has other bytes: try again, then tell the owner"},
		{ota.ErrTooLarge, "the server or what is between has other bytes: try again, then tell the owner"},
		{ota.ErrNotListed, "egret model pull without a release lists what there is"},
		{ota.ErrWithdrawn, "take a later release: egret model pull without a release lists what there is"},
		{ota.ErrNoSpace, "free some space, or choose another --dir"},
		{ota.ErrBusy, "choose another --state, or wait for that process to end"},
		{ota.ErrNetwork, "check --repo and the network, then try again: it goes on where it stopped"},
	} {
		if errors.Is(err, hint.kind) {
			return fmt.Errorf("%w: %s", err, hint.try)
		}
	}
	return err
}
