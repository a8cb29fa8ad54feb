package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/egret-edge/egret/internal/wholefile"
	"github.com/egret-edge/egret/tflite"
	"github.com/egret-edge/egret/tflite/requant"
)

// TuningFile is the name of the remembered choices in the state folder.
const TuningFile = "tuning.json"

// Limits of the file. A choice takes up to some 20 KiB: 500 bytes for each trial,
// of which four cores, three kinds and three rounds make 36.
const (
	maxTuningBytes   = 1 << 20
	maxTuningChoices = 32
)

// TuningMemory keeps choices in a file, so that a start costs no sweep. What it
// cannot read it forgets. A nil one remembers nothing.
type TuningMemory struct {
	Path string
	// ReadOnly has it remember no choice, which depends on what else the
	// processor does.
	ReadOnly bool
}

// tuningFiles is held to change one: updates and reloads try models at once.
var tuningFiles sync.Mutex

type tuningFile struct {
	Choices map[string]tuningEntry `json:"choices"`
	// Proofs are conversions that agree with their models, by proofKey and type.
	Proofs map[string]tuningProof `json:"proofs,omitempty"`
}

type tuningProof struct {
	Conversion Conversion `json:"conversion"`
	Used       time.Time  `json:"used"`
}

type tuningEntry struct {
	Choice Choice    `json:"choice"`
	Model  string    `json:"model"` // for people who look
	Used   time.Time `json:"used"`
}

func (m *TuningMemory) read() tuningFile {
	empty := tuningFile{Choices: map[string]tuningEntry{}}
	if m == nil {
		return empty
	}
	f, err := os.Open(m.Path)
	if err != nil {
		return empty
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTuningBytes))
	var t tuningFile
	if err != nil || json.Unmarshal(data, &t) != nil || t.Choices == nil {
		return empty
	}
	return t
}

func (m *TuningMemory) recall(key string) (Choice, bool) {
	e, ok := m.read().Choices[key]
	c := e.Choice
	if _, err := tflite.ParseDelegate(c.Delegate); !ok || err != nil || c.Threads < 1 || c.Threads > 64 {
		return Choice{}, false
	}
	return c, true
}

// store writes the file anew, whole or not at all.
func (m *TuningMemory) store(key string, c Choice) error {
	if m == nil || m.ReadOnly {
		return nil
	}
	tuningFiles.Lock()
	defer tuningFiles.Unlock()
	t := m.read()
	t.Choices[key] = tuningEntry{Choice: c, Used: time.Now().UTC()}
	dropOldest(t.Choices, key, func(e tuningEntry) time.Time { return e.Used })
	return m.write(t)
}

// proof is the conversion of that type that is known to agree with the model.
func (m *TuningMemory) proof(b *tflite.Bundle, to string) (Conversion, bool) {
	p, ok := m.read().Proofs[proofKey(b)+" "+to]
	return p.Conversion, ok && p.Conversion.To == to
}

// prove keeps what was found by comparing. Of the times in it only the ratio
// decided, of Invokes that took turns, so that it holds whatever else the processor
// did.
func (m *TuningMemory) prove(b *tflite.Bundle, v Conversion) error {
	if m == nil {
		return nil
	}
	tuningFiles.Lock()
	defer tuningFiles.Unlock()
	t := m.read()
	if t.Proofs == nil {
		t.Proofs = map[string]tuningProof{}
	}
	key := proofKey(b) + " " + v.To
	t.Proofs[key] = tuningProof{Conversion: v, Used: time.Now().UTC()}
	dropOldest(t.Proofs, key, func(p tuningProof) time.Time { return p.Used })
	return m.write(t)
}

// dropOldest keeps maxTuningChoices, and never drops the new one: the clock may
// have been set back since the others.
func dropOldest[T any](all map[string]T, fresh string, used func(T) time.Time) {
	for len(all) > maxTuningChoices {
		oldest := ""
		for k, v := range all {
			if k != fresh && (oldest == "" || used(v).Before(used(all[oldest]))) {
				oldest = k
			}
		}
		delete(all, oldest)
	}
}

func (m *TuningMemory) write(t tuningFile) error {
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("encode choices: %w", err)
	}
	return wholefile.Write(m.Path, data)
}

// proofKey names what a conversion's agreement depends on.
func proofKey(b *tflite.Bundle) string {
	golden, _ := json.Marshal(b.Manifest.Golden) // plain values: it cannot fail
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %s %s", requant.Version, b.Digest, tflite.Version(), runtime.GOARCH, golden))
	return hex.EncodeToString(sum[:16])
}

// Forget has everything measured anew.
func (m *TuningMemory) Forget() error {
	if err := os.Remove(m.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget choices of delegate and threads: %w", err)
	}
	return nil
}

// key names everything that a choice depends on: when one of it changes, it is
// another key.
func (t *Tuner) key(b *tflite.Bundle, list []string, threads int) string {
	h := sha256.New()
	fmt.Fprintf(h, "1\n%s\n%s\n%s\n%d %d\n", b.Digest, tflite.Version(), processor(), t.Cores, threads)
	if t.Converter != nil { // what was chosen without one holds without one
		fmt.Fprintf(h, "convert %t %d %s\n", t.Converter.Required, t.Converter.MaxMemory, proofKey(b))
	}
	for _, spec := range list {
		specs := []string{spec}
		if spec == auto {
			specs = Candidates()
			fmt.Fprintln(h, auto)
		}
		for _, spec := range specs {
			fmt.Fprintln(h, spec)
			if d, err := tflite.ParseDelegate(spec); err == nil && d.Path != "" {
				for _, file := range libraryFiles(d.Path) {
					if info, err := os.Stat(file); err == nil {
						fmt.Fprintln(h, file, info.Size(), info.ModTime().UnixNano())
					}
				}
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// libraryFiles are the files that the system's loader may take for a library:
// one without a folder is looked for in the usual ones (ld.so(8)).
func libraryFiles(path string) []string {
	if strings.Contains(path, "/") {
		return []string{path}
	}
	var files []string
	for _, dir := range append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")), "/lib", "/lib/*-linux-gnu*", "/usr/lib", "/usr/lib/*-linux-gnu*", "/usr/local/lib", "/usr/local/lib/*-linux-gnu*") {
		found, _ := filepath.Glob(filepath.Join(dir, path))
		files = append(files, found...)
	}
	return files
}

// processor is what Linux calls the processor, without what changes from
// moment to moment.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	var b strings.Builder
	b.WriteString(runtime.GOARCH)
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		name, _, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "model name", "stepping", "microcode", "flags", "Features", "CPU implementer", "CPU part", "CPU revision", "Model", "Hardware":
			if !seen[line] {
				seen[line] = true
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// Candidates are the delegates that "auto" tries on this device.
func Candidates() []string {
	list := []string{tflite.XNNPACK, tflite.CPU}
	if edgeTPU("/dev", "/sys/bus/usb/devices") {
		list = append([]string{"edgetpu"}, list...)
	}
	return list
}

// edgeTPU tells whether a Coral accelerator is there: a PCIe one is
// /dev/apex_N, a USB one is 1a6e:089a until its firmware is loaded and
// 18d1:9302 afterwards.
func edgeTPU(dev, usb string) bool {
	if apex, _ := filepath.Glob(filepath.Join(dev, "apex_[0-9]*")); len(apex) > 0 {
		return true
	}
	vendors, _ := filepath.Glob(filepath.Join(usb, "*", "idVendor"))
	for _, v := range vendors {
		vendor, _ := os.ReadFile(v)
		product, _ := os.ReadFile(filepath.Join(filepath.Dir(v), "idProduct"))
		switch strings.TrimSpace(string(vendor)) + ":" + strings.TrimSpace(string(product)) {
		case "1a6e:089a", "18d1:9302":
			return true
		}
	}
	return false
}
