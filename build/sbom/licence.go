package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licence is what a folder's licence files say.
type licence struct {
	ids   []string // SPDX, sorted
	files []licenceFile
}

type licenceFile struct {
	name, text string
}

var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|epl-v20|edl-v10)([.-].*)?$`)

// marks tells licences by words that only they have; a file may hold several. A
// file that none fits stops the build: somebody has to read it.
var marks = []struct {
	id   string
	text []string
}{
	{"MPL-2.0", []string{"Mozilla Public License", "2.0"}},
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"EPL-2.0", []string{"Eclipse Public License"}},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute this software for any"}},
	{"ISC", []string{"Permission to use, copy, modify, and distribute this software for any purpose with or without fee"}},
	{"MIT", []string{"Permission is hereby granted, free of charge"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "Neither the name"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "may not be used to endorse or promote"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
}

func findLicence(dir string) (licence, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return licence{}, err
	}
	var found licence
	for _, e := range entries {
		if e.IsDir() || !licenceName.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return licence{}, err
		}
		found.files = append(found.files, licenceFile{e.Name(), string(text)})
		if grants(e.Name()) {
			ids := identify(text)
			if len(ids) == 0 {
				return licence{}, fmt.Errorf("%s in %s is none that build/sbom knows: read it, and add what it is to build/sbom/licence.go", e.Name(), dir)
			}
			found.ids = append(found.ids, ids...)
		}
	}
	if len(found.ids) == 0 {
		return licence{}, fmt.Errorf("no licence file in %s", dir)
	}
	slices.Sort(found.ids)
	found.ids = slices.Compact(found.ids)
	return found, nil
}

// grants reports whether the file gives a licence for code; notices and patent
// grants only go with one, and documentation is not linked.
func grants(name string) bool {
	name = strings.ToLower(name)
	return !strings.HasPrefix(name, "notice") && !strings.HasPrefix(name, "patents") && !strings.HasSuffix(name, ".docs")
}

func identify(text []byte) []string {
	words := bytes.ToLower(bytes.Join(bytes.Fields(text), []byte(" ")))
	var ids []string
	for _, mark := range marks {
		missing := func(s string) bool { return !bytes.Contains(words, []byte(strings.ToLower(s))) }
		// BSD's third clause is what tells the two apart.
		if mark.id == "BSD-2-Clause" && slices.Contains(ids, "BSD-3-Clause") {
			continue
		}
		if !slices.ContainsFunc(mark.text, missing) {
			ids = append(ids, mark.id)
		}
	}
	return ids
}

// writeLicences puts the texts of all licences into one file.
func writeLicences(path string, p *program) error {
	var out strings.Builder
	fmt.Fprintln(&out, "egret is linked from the following parts, under these licences.")
	for _, m := range p.modules {
		heading(&out, m.path+" "+m.version, m.licence)
	}
	if p.native {
		jpeg, err := jpegCopyright()
		if err != nil {
			return err
		}
		heading(&out, "libjpeg-turbo, as Debian packages it", jpeg)
	}
	return os.WriteFile(path, []byte(out.String()), 0o644)
}

func heading(out *strings.Builder, name string, l licence) {
	fmt.Fprintf(out, "\n%s\n%s (%s)\n%[1]s\n", strings.Repeat("=", 78), name, strings.Join(l.ids, ", "))
	for _, f := range l.files {
		fmt.Fprintf(out, "\n-- %s\n\n%s\n", f.name, strings.TrimSpace(f.text))
	}
}
