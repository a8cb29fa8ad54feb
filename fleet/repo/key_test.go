package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k, private, err := newKey(RoleTargets, dir, passphrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.save(); err != nil {
		t.Fatal(err)
	}
	if err := k.save(); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("saved again: %v", err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{k.Path: 0o600, dir: 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	}
	data, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, private.Seed()) || bytes.Contains(data, []byte("correct horse")) {
		t.Error("the secret lies there in the clear")
	}
	keys, err := FindKeys(dir)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if got, err := keys[0].unlock([]byte("correct horse")); err != nil || !got.Equal(private) {
		t.Errorf("unlocked: %v", err)
	}
	// Every field is authenticated.
	for name, change := range map[string]func(*KeyFile){
		"role":       func(k *KeyFile) { k.Role = RoleRoot },
		"salt":       func(k *KeyFile) { k.KDF.Salt[0]++ },
		"time":       func(k *KeyFile) { k.KDF.Time++ },
		"nonce":      func(k *KeyFile) { k.Nonce[0]++ },
		"ciphertext": func(k *KeyFile) { k.Ciphertext[0]++ },
		"truncated":  func(k *KeyFile) { k.Ciphertext = k.Ciphertext[:20] },
	} {
		t.Run(name, func(t *testing.T) {
			k, err := parseKey(data)
			if err != nil {
				t.Fatal(err)
			}
			change(k)
			if _, err := k.unlock([]byte("correct horse")); !errors.Is(err, ErrPassphrase) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// badKeys are no key files.
var badKeys = map[string]string{
	"empty":        ``,
	"no object":    `[]`,
	"other format": `{"egret_key":2}`,
	"unknown":      `{"egret_key":1,"extra":1}`,
	"short public": `{"egret_key":1,"role":"root","cipher":"xchacha20poly1305","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","public":"00"}`,
	"wrong id":     `{"egret_key":1,"role":"root","cipher":"xchacha20poly1305","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","public":"` + "0000000000000000000000000000000000000000000000000000000000000000" + `","keyid":"00"}`,
}

func TestBadKeys(t *testing.T) {
	for name, text := range badKeys {
		t.Run(name, func(t *testing.T) {
			if k, err := parseKey([]byte(text)); err == nil {
				t.Errorf("became %+v", k)
			}
		})
	}
	k := KeyFile{KDF: usual()}
	k.KDF.Salt = make([]byte, saltBytes)
	k.KDF.Memory = 1 << 30
	if _, err := k.unlock([]byte("x")); err == nil || !strings.Contains(err.Error(), "within 16 passes") {
		t.Errorf("a terabyte: %v", err)
	}
	path := filepath.Join(t.TempDir(), "huge.key")
	if err := os.WriteFile(path, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FindKeys(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a huge file: %v", err)
	}
}

func FuzzKey(f *testing.F) {
	for _, text := range badKeys {
		f.Add([]byte(text))
	}
	k, _, err := newKey(RoleRoot, "", passphrase("x"))
	if err != nil {
		f.Fatal(err)
	}
	data, err := json.Marshal(k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseKey(data)
		if err != nil {
			return
		}
		if err := addKey(metadata.Root(), k); err != nil {
			t.Errorf("%s was taken, but: %v", data, err)
		}
	})
}

// FuzzMetadata: staged metadata may come from other people.
func FuzzMetadata(f *testing.F) {
	dir, err := template()
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json"} {
		data, err := os.ReadFile(filepath.Join(dir, "repo", "metadata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"root","roles":{"root":null},"keys":{"a":null}}}`))
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"targets","targets":{"models/a/1.zip":null}}}`))
	good, _, err := read[metadata.RootType](filepath.Join(dir, "repo", "metadata", "1.root.json"), maxRoot)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := decode[metadata.RootType](data); err == nil && checkRoot(m) == nil {
			_ = verifyRoot(good, m)
			_ = enough(m, metadata.ROOT, m)
		}
		if m, err := decode[metadata.TargetsType](data); err == nil && checkTargets(m) == nil {
			if _, err := clone(m); err != nil {
				t.Errorf("%s was taken, but: %v", data, err)
			}
			_ = enough(good, metadata.TARGETS, m)
		}
		if c, err := parseConfig(data); err == nil && c.Expiry.check() != nil {
			t.Errorf("%s was taken", data)
		}
	})
}
