package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGeneratedFilesAreCurrent fails when somebody changed a .proto file, or a
// plugin's version, and not the Go files that come of it.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	const dir = "../../agent/api/serving/tfproto"
	want, err := generate(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.pb.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 4 || len(have) != len(want) {
		t.Errorf("%d generated files are there, want %d: run make proto and look for old ones", len(have), len(want))
	}
	for name, content := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s is not what comes of the .proto files: run make proto (%v)", name, err)
		}
	}
}

func TestBrokenProtoIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte("syntax = \"proto3\"; message {"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := generate(t.Context(), dir); err == nil {
		t.Error("a .proto file without sense was compiled")
	}
	if _, err := generate(t.Context(), t.TempDir()); err == nil {
		t.Error("a folder without .proto files gave no error")
	}
}
