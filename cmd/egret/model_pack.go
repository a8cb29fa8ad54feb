package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/sync/ota/bundle"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/tflite"
)

func newModelPack() *cobra.Command {
	var out string
	var unchecked bool
	cmd := &cobra.Command{
		Use:   "pack FOLDER",
		Short: "Pack a model's folder into one file",
		Long: `Check the model in models/<name>/<version> and pack it into <name>-<version>.zip.

It is loaded and answers its golden samples in a process of its own, on the CPU;
one that does not is refused. The same files give the same bytes.`,
		Example: `  egret model pack models/mobilenet_v1_1.0_224_quant/1
  egret model pack models/cats/3 -o /tmp/cats.zip`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			b, err := openVersion(args[0])
			if err != nil {
				return err
			}
			report := "not checked"
			if !unchecked {
				if report, err = tryBundle(cmd.Context(), b.Dir, len(b.Manifest.Golden)); err != nil {
					return err
				}
			}
			if out == "" {
				out = fmt.Sprintf("%s-%d.zip", b.Name, b.Version)
			}
			if err := bundle.Pack(b.Dir, out); err != nil {
				return err
			}
			size, digest, err := fileDigest(out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "packed    %s, %.1f MiB\nmodel     %s version %d, %s\nchecked   %s\ndigest    %s\n",
				out, float64(size)/(1<<20), b.Name, b.Version, b.Digest, report, digest)
			return err
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "`file` to write (default: <name>-<version>.zip)")
	cmd.Flags().BoolVar(&unchecked, "no-check", false, "do not run the model")
	return cmd
}

func newModelUnpack() *cobra.Command {
	var models, as string
	var unchecked bool
	cmd := &cobra.Command{
		Use:   "unpack FILE",
		Short: "Unpack a model into the folder of models",
		Long: `Unpack <name>-<version>.zip into models/<name>/<version>.

What is in the file is not trusted: only plain files with plain names come out,
within limits. The model then answers its golden samples in a process of its
own, before it gets its name; one that does not leaves nothing.`,
		Example: `  egret model unpack cats-3.zip
  egret model unpack download.zip --as cats/3 --models /var/lib/egret/models`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			m, err := modelOf(args[0], as)
			if err != nil {
				return err
			}
			dir := filepath.Join(models, m.Name, strconv.Itoa(m.Version))
			report := "not checked"
			err = bundle.Unpack(args[0], dir, func(fresh string) error {
				b, err := tflite.OpenBundle(fresh)
				if err != nil || unchecked {
					return err
				}
				report, err = tryBundle(cmd.Context(), fresh, len(b.Manifest.Golden))
				return err
			})
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: remove it, or unpack another version", err)
			} else if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "unpacked  %s\nmodel     %s version %d\nchecked   %s\n", dir, m.Name, m.Version, report)
			return err
		}),
	}
	cmd.Flags().StringVar(&models, "models", "models", "`folder` of models")
	cmd.Flags().StringVar(&as, "as", "", "the model's `name/version`, where the file's name does not tell")
	cmd.Flags().BoolVar(&unchecked, "no-check", false, "do not run the model")
	return cmd
}

// openVersion opens a bundle that can be a release: its folders' names are the
// model's name and version.
func openVersion(path string) (*tflite.Bundle, error) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: give the folder models/<name>/<version>", path)
	}
	b, err := tflite.OpenBundle(path)
	if err != nil {
		return nil, err
	}
	if _, err := release.ParseTarget(release.Target(release.Model{Name: b.Name, Version: b.Version})); err != nil {
		return nil, fmt.Errorf("%s is not models/<name>/<version>: the name may have A-Z a-z 0-9 . _ -, the version is a whole number from 1", b.Dir)
	}
	return b, nil
}

var packedName = regexp.MustCompile(`^(.+)-(\d+)\.zip$`)

// packedModel is the model that a bundle's file name tells: cats-3.zip, as
// pack calls it, or cats/3.zip.
func packedModel(file string) (release.Model, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return release.Model{}, err
	}
	dir, base := filepath.Split(abs)
	target := "models/" + filepath.Base(dir) + "/" + base
	if part := packedName.FindStringSubmatch(base); part != nil {
		target = "models/" + part[1] + "/" + part[2] + ".zip"
	}
	m, err := release.ParseTarget(target)
	if err != nil {
		return m, fmt.Errorf("%s: the file name says no model and version, as cats-3.zip would", file)
	}
	return m, nil
}

// modelOf is what a packed model is to be called: as is name/version, or empty.
func modelOf(file, as string) (release.Model, error) {
	if as == "" {
		m, err := packedModel(file)
		if err != nil {
			err = usageError{fmt.Errorf("%w: give --as <name>/<version>", err)}
		}
		return m, err
	}
	m, err := release.ParseTarget("models/" + as + ".zip")
	if err != nil {
		err = usageError{fmt.Errorf("--as %q: give <name>/<version>, such as cats/3", as)}
	}
	return m, err
}

// tryBundle has a process of its own load the model and answer its samples.
func tryBundle(ctx context.Context, dir string, samples int) (string, error) {
	if tflite.Version() == "" {
		return "", fmt.Errorf("%w: it cannot be checked here, --no-check leaves that out", tflite.ErrNoInference)
	}
	r := agent.Prober{Timeout: time.Minute}.Probe(ctx, agent.ProbeRequest{Model: dir, Delegate: tflite.CPU, Threads: 1, Runs: 3})
	switch {
	case !r.OK:
		return "", fmt.Errorf("the model was tried and refused: %s", r.Reason)
	case samples == 0:
		return "it loads and runs; it has no golden samples, so whether it answers right was not seen", nil
	}
	return fmt.Sprintf("it loads, and answers %d of %d golden samples right", r.Golden, samples), nil
}

func fileDigest(path string) (size int64, digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, "sha256:" + hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}
