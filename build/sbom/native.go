package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// part is something in the package that Go did not link: a native library or a
// model.
type part struct {
	name, version, purl, licence, description string
	sha256                                    string // of the file or archive that description names
	model                                     bool
}

const sysroot = "build/native/sysroot-"

// nativeParts are the parts of one architecture, with the versions that
// build/deps.sh pins or has fetched.
func nativeParts(arch string) ([]part, error) {
	tflite, err := tensorflowLite()
	if err != nil {
		return nil, err
	}
	jpeg, err := libjpeg(arch)
	if err != nil {
		return nil, err
	}
	models, err := shippedModels("models")
	if err != nil {
		return nil, err
	}
	return append([]part{tflite, jpeg}, models...), nil
}

// tensorflowLite asks build/deps.sh, which says `name@version sha256`.
func tensorflowLite() (part, error) {
	out, err := exec.Command("build/deps.sh", "pin").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) != 3 {
		return part{}, fmt.Errorf("build/deps.sh pin gave %q: %v", out, err)
	}
	return part{
		name: "TensorFlow Lite", version: fields[0], purl: "pkg:npm/" + fields[1], licence: "Apache-2.0", sha256: fields[2],
		description: "libtensorflowlite_c.so, from the npm package " + fields[1] + ", whose archive has this hash; what that library was linked from (XNNPACK, Eigen, ruy, FlatBuffers and more) is not listed there",
	}, nil
}

// libjpeg reads the line that build/deps.sh leaves beside what it fetched.
func libjpeg(arch string) (part, error) {
	path := sysroot + arch + "/libjpeg.version"
	line, err := os.ReadFile(path)
	if err != nil {
		return part{}, fmt.Errorf("libjpeg's version: %w (build/deps.sh cross writes it)", err)
	}
	fields := strings.Fields(string(line))
	if len(fields) != 3 {
		return part{}, fmt.Errorf("%s: %q is not name, version and hash", path, line)
	}
	return part{
		name: "libjpeg-turbo", version: fields[1], licence: "IJG AND BSD-3-Clause AND Zlib", sha256: fields[2],
		purl:        "pkg:deb/debian/" + fields[0] + "@" + strings.ReplaceAll(fields[1], ":", "%3A") + "?arch=" + arch,
		description: "linked statically from Debian's package " + fields[0] + ", whose archive has this hash",
	}, nil
}

func shippedModels(dir string) ([]part, error) {
	var all []part
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "model.tflite" {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		version := filepath.Dir(path)
		all = append(all, part{
			name: filepath.Dir(version), version: filepath.Base(version), licence: "Apache-2.0", model: true,
			description: "model.tflite, from the examples of github.com/mattn/go-tflite v1.0.1",
			sha256:      fmt.Sprintf("%x", sha256.Sum256(content)),
		})
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no model.tflite below %s: make deps fetches them", dir)
	}
	return all, err
}

// jpegCopyright is the same for every architecture; which were fetched depends
// on the machine.
func jpegCopyright() (licence, error) {
	found, err := filepath.Glob(sysroot + "*/usr/share/doc/*/copyright")
	if err != nil || len(found) == 0 {
		found, _ = filepath.Glob("/usr/share/doc/libjpeg*turbo*/copyright")
	}
	if len(found) == 0 {
		return licence{}, errors.New("libjpeg-turbo's licence is nowhere: build/deps.sh cross fetches it")
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return licence{}, fmt.Errorf("libjpeg-turbo's licence: %w", err)
	}
	return licence{ids: []string{"IJG", "BSD-3-Clause", "Zlib"}, files: []licenceFile{{"copyright", string(text)}}}, nil
}
