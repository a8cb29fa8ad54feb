package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/internal/slowdown"
)

// model writes a folder with the files of a model, and one that is large.
func model(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cats", "3")
	noise := make([]byte, 3<<20)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(noise) // never fails
	for name, data := range map[string][]byte{
		"model.tflite": noise, "model.yaml": []byte("task: classify\n"), "labels.txt": []byte("a\nb\n"),
		"golden/a cat (1).png": []byte("png"), "golden/more/b.png": nil,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// same compares two folders byte for byte.
func same(t *testing.T, a, b string) {
	t.Helper()
	var lists [2]map[string]string
	for i, dir := range []string{a, b} {
		lists[i] = map[string]string{}
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			lists[i][name] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(lists[0]) != len(lists[1]) {
		t.Errorf("%d files and %d", len(lists[0]), len(lists[1]))
	}
	for name, data := range lists[0] {
		if lists[1][name] != data {
			t.Errorf("%s differs", name)
		}
	}
}

func TestPackUnpack(t *testing.T) {
	dir, out := model(t), t.TempDir()
	one, two := filepath.Join(out, "one.zip"), filepath.Join(out, "two.zip")
	if err := Pack(dir, one); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := errors.Join(os.Chtimes(filepath.Join(dir, "labels.txt"), later, later), os.Chmod(filepath.Join(dir, "model.yaml"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := Pack(dir, two); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(one)
	b, err2 := os.ReadFile(two)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("times and modes change the zip: %d and %d bytes, %v, %v", len(a), len(b), err, err2)
	}
	to := filepath.Join(out, "models", "cats", "3")
	leftover := filepath.Join(to+".new", "half")
	if err := errors.Join(os.MkdirAll(to+".new", 0o755), os.WriteFile(leftover, []byte("written"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(one, to, nil); err != nil {
		t.Fatal(err)
	}
	same(t, dir, to)
	if err := Unpack(one, to, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// What the check refuses leaves nothing.
func TestUnpackChecks(t *testing.T) {
	out := t.TempDir()
	file, to := filepath.Join(out, "x.zip"), filepath.Join(out, "3")
	if err := Pack(model(t), file); err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("it answers nonsense")
	err := Unpack(file, to, func(dir string) error {
		if _, err := os.Stat(filepath.Join(dir, modelFile)); err != nil {
			t.Error(err)
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(to + "*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestPackRefuses(t *testing.T) {
	for want, change := range map[string]func(dir string) error{
		"no model.tflite":         func(dir string) error { return os.Remove(filepath.Join(dir, modelFile)) },
		"no plain file":           func(dir string) error { return os.Symlink("labels.txt", filepath.Join(dir, "link")) },
		"begins or ends with":     func(dir string) error { return os.WriteFile(filepath.Join(dir, ".DS_Store"), nil, 0o600) },
		"other characters":        func(dir string) error { return os.WriteFile(filepath.Join(dir, "ü"), nil, 0o600) },
		"the same to some":        func(dir string) error { return os.WriteFile(filepath.Join(dir, "Labels.txt"), nil, 0o600) },
		"more than 600 MiB":       func(dir string) error { return os.Truncate(filepath.Join(dir, modelFile), maxBytes+1) },
		"more than 256 files":     func(dir string) error { return many(dir) },
		"no such file or directo": os.RemoveAll,
	} {
		t.Run(want, func(t *testing.T) {
			dir, file := model(t), filepath.Join(t.TempDir(), "x.zip")
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			if err := Pack(dir, file); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			if left, _ := filepath.Glob(file + "*"); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func many(dir string) error {
	for i := range maxFiles {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// hostile zips, each against one rule.
func hostile(t testing.TB) map[string][]byte {
	t.Helper()
	with := func(headers ...*zip.FileHeader) []byte {
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		for _, h := range append([]*zip.FileHeader{{Name: modelFile}}, headers...) {
			w, err := z.CreateHeader(h)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(h.Name, "/") {
				if _, err := w.Write([]byte("content of " + h.Name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	named := func(name string) []byte { return with(&zip.FileHeader{Name: name}) }
	mode := func(m fs.FileMode) []byte {
		h := &zip.FileHeader{Name: "special"}
		h.SetMode(m)
		return with(h)
	}
	var lots []*zip.FileHeader
	for i := range maxFiles {
		lots = append(lots, &zip.FileHeader{Name: fmt.Sprint("f", i)})
	}
	// The sizes of the last file in the zip's own tables, and in its header.
	lie := func(size uint32) []byte {
		data := with(&zip.FileHeader{Name: "liar", Method: zip.Deflate})
		at := bytes.LastIndex(data, []byte("PK\x01\x02")) // APPNOTE.TXT 4.3.12: uncompressed size at 24
		binary.LittleEndian.PutUint32(data[at+24:], size)
		return data
	}
	flipped := with()
	flipped[bytes.Index(flipped, []byte("content"))] ^= 1
	encrypted := with()
	encrypted[bytes.LastIndex(encrypted, []byte("PK\x01\x02"))+8] |= 1
	directory := with()
	end := bytes.LastIndex(directory, []byte("PK\x05\x06"))
	huge := append(bytes.Clone(directory[:end]), bytes.Repeat([]byte("PK\x01\x02"+strings.Repeat("\x00", 42)), 60_000)...)
	start := uint32(bytes.LastIndex(directory[:end], []byte("PK\x01\x02")))
	tail := bytes.Clone(directory[end:])
	binary.LittleEndian.PutUint16(tail[8:], 60_001)
	binary.LittleEndian.PutUint16(tail[10:], 60_001)
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(huge))-start)
	huge = append(huge, tail...)
	return map[string][]byte{
		`"../evil" leaves`:               named("../evil"),
		`"a/../../evil" leaves`:          named("a/../../evil"),
		`"/etc/evil" leaves`:             named("/etc/evil"),
		`"C:\\evil" has other`:           named(`C:\evil`),
		`"a\x00b" has other`:             named("a\x00b"),
		`".hidden" has a part`:           named(".hidden"),
		"a path of 201 bytes":            named(strings.Repeat("x", 201)),
		`"../x" leaves`:                  named("../x/"),
		"special\" is no plain file":     mode(fs.ModeSymlink | 0o777),
		"\"special\" is no plain":        mode(fs.ModeDevice | 0o600),
		"more than 256 files":            with(lots...),
		`"labels.txt" and "LABELS.txt"`:  with(&zip.FileHeader{Name: "labels.txt"}, &zip.FileHeader{Name: "LABELS.txt"}),
		`"golden" and "Golden" are`:      with(&zip.FileHeader{Name: "golden/a"}, &zip.FileHeader{Name: "Golden/b"}),
		`"golden" is a file and`:         with(&zip.FileHeader{Name: "golden"}, &zip.FileHeader{Name: "golden/b"}),
		`"model.tflite" and "model.tfl`:  with(&zip.FileHeader{Name: modelFile}),
		"liar: zip: not a valid":         lie(3),
		"liar: unexpected EOF":           lie(300),
		"more than 600 MiB unpacked":     lie(maxBytes),
		"model.tflite: zip: checksum":    flipped,
		"\"model.tflite\" is encrypted":  encrypted,
		"its tables have more than":      huge,
		"zip: not a valid zip file":      []byte("no zip at all"),
		"there is no model.tflite in it": empty(t),
	}
}

func empty(t testing.TB) []byte {
	var buf bytes.Buffer
	if err := zip.NewWriter(&buf).Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestHostileZips(t *testing.T) {
	for want, data := range hostile(t) {
		t.Run(want, func(t *testing.T) {
			dir := t.TempDir()
			file, to := filepath.Join(dir, "in.zip"), filepath.Join(dir, "models", "3")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			err := Unpack(file, to, nil)
			if err == nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, want)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "models", "*"))
			up, _ := filepath.Glob(filepath.Join(dir, "*"))
			if len(left) != 0 || len(up) > 2 {
				t.Errorf("left: %v, %v", left, up)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	for _, data := range hostile(f) {
		if len(data) < 64<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file, to := filepath.Join(dir, "in.zip"), filepath.Join(dir, "models", "3")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(file, to, nil); err != nil {
			if left, _ := filepath.Glob(filepath.Join(dir, "models", "*")); len(left) != 0 {
				t.Errorf("left: %v after %v", left, err)
			}
			return
		}
		// What was taken can be packed and taken again.
		again, back := filepath.Join(dir, "again.zip"), filepath.Join(dir, "models", "4")
		if err := errors.Join(Pack(to, again), Unpack(again, back, nil)); err != nil {
			t.Fatal(err)
		}
		same(t, to, back)
	})
}

// begun waits until something is being unpacked to a folder.
func begun(t *testing.T, to string) {
	t.Helper()
	for deadline := time.Now().Add(slowdown.Of(20 * time.Second)); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if folders, _ := os.ReadDir(to); len(folders) > 0 {
			return
		}
	}
	t.Fatal("nothing was begun")
}

// TestKilled kills a process that unpacks a bundle to one folder after the
// other: each is whole or not there, and nothing is in the next one's way.
func TestKilled(t *testing.T) {
	if file := os.Getenv("EGRET_TEST_UNPACK"); file != "" {
		for i := 0; ; i++ {
			if err := Unpack(file, filepath.Join(os.Getenv("EGRET_TEST_TO"), fmt.Sprint(i)), nil); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	dir, out := model(t), t.TempDir()
	file, to := filepath.Join(out, "in.zip"), filepath.Join(out, "models")
	if err := Pack(dir, file); err != nil {
		t.Fatal(err)
	}
	whole, half := 0, 0
	for round := range 20 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "EGRET_TEST_UNPACK="+file, "EGRET_TEST_TO="+to)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun(t, to)
		// Not to wait for anything, but to hit another moment each time.
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("round %d: it had ended by itself: %v", round, err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: %v", round, err)
		}
		folders, err := os.ReadDir(to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, f := range folders {
			at := filepath.Join(to, f.Name())
			if base, unfinished := strings.CutSuffix(at, ".new"); unfinished {
				half++
				if err := Unpack(file, base, nil); err != nil {
					t.Fatal(err)
				}
				at = base
			} else {
				whole++
			}
			same(t, dir, at)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed 20 times: %d folders whole, %d begun", whole, half)
	if whole == 0 {
		t.Error("nothing was unpacked before the kills")
	}
}
