package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxFileBytes is the largest file that is read.
const MaxFileBytes = 1 << 20

// Load reads a configuration file. Relative paths in it are relative to the
// file's own folder, so that it means the same wherever the agent is started.
// Mistakes, a file that cannot be read among them, are of type Errors.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, Errors{{File: path, Problem: "cannot be read: " + reason(err), Hint: "name the configuration with --config"}}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return Config{}, Errors{{File: path, Problem: "cannot be read: " + reason(err)}}
	}
	c, err := Parse(path, data)
	if err != nil {
		return Config{}, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return Config{}, fmt.Errorf("find the folder of %s: %w", path, err)
	}
	c.resolve(dir)
	return c, nil
}

// reason is an error without the path, which is said already.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Parse reads a configuration from memory; name stands in for the file's in
// errors. Paths stay as they are written.
func Parse(name string, data []byte) (Config, error) {
	d := &decoder{file: name, lines: map[string]int{}}
	c := Default()
	if root := d.document(data); root != nil {
		d.decode(root, reflect.ValueOf(&c).Elem(), "")
	}
	if c.Device == "" {
		c.Device = hostID()
	}
	for i := range c.Cameras {
		c.Cameras[i].EffectiveRules = c.Cameras[i].Rules.over(c.Rules)
	}
	if len(d.errs) == 0 {
		d.errs = c.validate(d)
	}
	if len(d.errs) > 0 {
		return Config{}, d.errs[:min(len(d.errs), maxErrors)]
	}
	return c, nil
}

// document parses the YAML text itself; nil means that the mistake is said.
func (d *decoder) document(data []byte) *yaml.Node {
	switch {
	case len(data) > MaxFileBytes:
		d.fail(nil, "", "is this the right file?", "is larger than %d KiB", MaxFileBytes>>10)
		return nil
	case !utf8.Valid(data):
		d.fail(nil, "", "", "is not UTF-8 text")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root, more yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) || err == nil && (len(root.Content) == 0 || isNull(root.Content[0])) {
		d.fail(nil, "", "egret config print shows the defaults", "is empty")
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			d.syntax(err)
			return nil
		}
		d.fail(&more, "", "remove the ---", "holds a second document")
		return nil
	}
	return root.Content[0]
}

var syntaxLine = regexp.MustCompile(`line (\d+): `)

// syntax turns the parser's message into ours: its line where ours stands.
func (d *decoder) syntax(err error) {
	text := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: ")
	n := &yaml.Node{}
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		n.Line, _ = strconv.Atoi(m[1]) // digits by the pattern
		text = strings.Replace(text, m[0], "", 1)
	}
	hint := ""
	if strings.Contains(text, "cannot start any token") {
		hint = "indent with spaces, and quote text that begins with a special character"
	}
	d.fail(n, "", hint, "%s", text)
}

// resolve makes relative paths relative to dir.
func (c *Config) resolve(dir string) {
	at := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	at(&c.StateDir)
	at(&c.MQTT.PasswordFile)
	at(&c.MQTT.TLS.CAFile)
	at(&c.MQTT.TLS.CertFile)
	at(&c.MQTT.TLS.KeyFile)
	at(&c.Updates.Root)
	at(&c.Updates.CAFile)
	at(&c.Updates.TokenFile)
	at(&c.API.TokenFile)
	at(&c.API.TLS.CertFile)
	at(&c.API.TLS.KeyFile)
	at(&c.API.TLS.ClientCAFile)
	for i := range c.Models {
		at(&c.Models[i].Path)
		at(&c.Models[i].Labels)
	}
	for i := range c.Cameras {
		c.Cameras[i].Source = resolveFolder(c.Cameras[i].Source, dir)
	}
}

// resolveFolder resolves the path of a folder source; others are left alone.
func resolveFolder(source, dir string) string {
	path, ok := strings.CutPrefix(source, "folder:")
	if !ok || path == "" || filepath.IsAbs(path) {
		return source
	}
	path, query, has := strings.Cut(path, "?")
	out := "folder:" + filepath.Join(dir, path)
	if has {
		out += "?" + query
	}
	return out
}
