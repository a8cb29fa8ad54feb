package repo

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	client "github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/egret-edge/egret/sync/release"
)

func passphrase(text string) Passphrase {
	return func(*KeyFile, bool) ([]byte, error) { return []byte(text), nil }
}

// bench is a repository with its keys and a web server that hands it out.
type bench struct {
	t         *testing.T
	dir, keys string
	url       string
}

// template is made once: deriving keys from passphrases takes its time.
var template = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "egret-repo-")
	if err == nil {
		_, err = Init(filepath.Join(dir, "repo"), InitOptions{Keys: filepath.Join(dir, "keys"), RootKeys: 2, RootThreshold: 2, Passphrase: passphrase("x")})
	}
	return dir, err
})

// catsTemplate lies beside template.
var catsTemplate = sync.OnceValues(func() (string, error) {
	from, err := template()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(from, "cats")
	bundle, err := zipFile(from, "cats 3")
	if err := errors.Join(err, os.CopyFS(filepath.Join(dir, "repo"), os.DirFS(filepath.Join(from, "repo"))), os.CopyFS(filepath.Join(dir, "keys"), os.DirFS(filepath.Join(from, "keys")))); err != nil {
		return "", err
	}
	r, err := Open(filepath.Join(dir, "repo"))
	if err != nil {
		return "", err
	}
	keys, err := FindKeys(filepath.Join(dir, "keys"))
	if err == nil {
		_, err = r.Add(bundle, cats(3))
	}
	if err == nil {
		_, err = r.Sign(keys, passphrase("x"))
	}
	if err == nil {
		_, err = r.Publish(keys, passphrase("x"))
	}
	return dir, errors.Join(err, r.Close())
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := template(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// newBench is a new repository without targets.
func newBench(t *testing.T) *bench { return benchFrom(t, template) }

// catsBench has cats-3 published.
func catsBench(t *testing.T) *bench { return benchFrom(t, catsTemplate) }

func benchFrom(t *testing.T, template func() (string, error)) *bench {
	t.Helper()
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"repo", "keys"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(from, name))); err != nil {
			t.Fatal(err)
		}
	}
	return serve(t, dir)
}

func serve(t *testing.T, dir string) *bench {
	b := &bench{t: t, dir: filepath.Join(dir, "repo"), keys: filepath.Join(dir, "keys")}
	s := httptest.NewServer(http.FileServer(http.Dir(b.dir)))
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

func (b *bench) open() *Repo {
	b.t.Helper()
	r, err := Open(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = r.Close() })
	return r
}

func (b *bench) with(fn func(r *Repo) error) {
	b.t.Helper()
	r, err := Open(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := errors.Join(fn(r), r.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// found are the key files whose names begin with one of the roles.
func (b *bench) found(roles ...string) []*KeyFile {
	b.t.Helper()
	all, err := FindKeys(b.keys)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(k *KeyFile) bool { return len(roles) > 0 && !slices.Contains(roles, k.Role) })
}

func (b *bench) signAndPublish() {
	b.t.Helper()
	b.with(func(r *Repo) error {
		if _, err := r.Sign(b.found(), passphrase("x")); err != nil {
			return err
		}
		_, err := r.Publish(b.found(), passphrase("x"))
		return err
	})
}

func (b *bench) zip(text string) string {
	b.t.Helper()
	path, err := zipFile(b.t.TempDir(), text)
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

func zipFile(dir, text string) (string, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("model.tflite")
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	path := filepath.Join(dir, "bundle.zip")
	return path, errors.Join(err, z.Close(), os.WriteFile(path, buf.Bytes(), 0o600))
}

func cats(version int) release.Meta {
	return release.Meta{Release: fmt.Sprint("cats-", version), Sequence: uint64(version), Model: release.Model{Name: "cats", Version: version},
		Hardware: []string{"linux/arm64"}, MinAgent: "1.4.0", Limits: release.Limits{MinAgreement: 0.95, MaxMemory: 1 << 62}}
}

func (b *bench) add(version int) {
	b.t.Helper()
	b.with(func(r *Repo) error {
		_, err := r.Add(b.zip(fmt.Sprint("cats ", version)), cats(version))
		return err
	})
}

// device is go-tuf's own client: it knows the first root and keeps its cache.
type device struct {
	t     *testing.T
	url   string
	cache string
	root  []byte
}

func (b *bench) device() *device {
	b.t.Helper()
	root, err := os.ReadFile(filepath.Join(b.dir, "metadata", "1.root.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return &device{b.t, b.url, b.t.TempDir(), root}
}

func (d *device) refresh() (*updater.Updater, error) {
	d.t.Helper()
	cfg, err := client.New(d.url+"/metadata", d.root)
	if err != nil {
		d.t.Fatal(err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = d.cache, d.cache
	cfg.RemoteTargetsURL = d.url + "/targets"
	u, err := updater.New(cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	return u, u.Refresh()
}

// get refreshes and downloads a target.
func (d *device) get(target string) ([]byte, *metadata.TargetFiles) {
	d.t.Helper()
	u, err := d.refresh()
	if err != nil {
		d.t.Fatal(err)
	}
	info, err := u.GetTargetInfo(target)
	if err != nil {
		d.t.Fatal(err)
	}
	_, data, err := u.DownloadTarget(info, filepath.Join(d.cache, "download"), "")
	if err != nil {
		d.t.Fatal(err)
	}
	return data, info
}

func TestDeviceGetsWhatIsPublished(t *testing.T) {
	b := newBench(t)
	d := b.device()
	if _, err := d.refresh(); err != nil {
		t.Fatalf("a new repository: %v", err)
	}
	b.add(3)
	if u, err := d.refresh(); err != nil {
		t.Fatal(err)
	} else if _, err := u.GetTargetInfo("models/cats/3.zip"); err == nil {
		t.Error("a staged target was seen")
	}
	b.signAndPublish()
	data, info := d.get("models/cats/3.zip")
	if z, err := zip.NewReader(bytes.NewReader(data), int64(len(data))); err != nil || z.File[0].Name != "model.tflite" {
		t.Errorf("downloaded %q: %v", data, err)
	}
	if info.Custom == nil {
		t.Fatal("no custom metadata")
	}
	if m, err := release.ParseMeta(*info.Custom); err != nil || fmt.Sprint(m) != fmt.Sprint(cats(3)) {
		t.Errorf("%s became %+v, %v", *info.Custom, m, err)
	}
	b.with(func(r *Repo) error { return r.Withdraw("cats", 4) })
	b.signAndPublish()
	data, _ = d.get(release.PolicyTarget)
	if p, err := release.ParsePolicy(data); err != nil || p.Allows(cats(3)) == nil || p.Allows(cats(4)) != nil {
		t.Errorf("policy %s: %v", data, err)
	}
	// With nothing staged, publishing renews.
	b.with(func(r *Repo) error {
		was := r.timestamp.Signed.Version
		p, err := r.Publish(b.found(RoleOnline), passphrase("x"))
		if p.Timestamp != was+1 || p.Targets != 3 {
			t.Errorf("renewed: %+v after timestamp %d", p, was)
		}
		return err
	})
	if _, err := d.refresh(); err != nil {
		t.Error(err)
	}
}

func TestDeviceFollowsRotations(t *testing.T) {
	b := catsBench(t)
	old, cached := b.device(), b.device()
	for i, role := range []string{RoleRoot, RoleTargets, RoleOnline, RoleRoot} {
		if _, err := cached.refresh(); err != nil {
			t.Fatal(err)
		}
		b.with(func(r *Repo) error {
			ids := r.root.Signed.Roles[duties(role)[0]].KeyIDs
			made, revoked, err := r.Rotate(role, b.keys, ids[0], passphrase("x"))
			if err == nil && (revoked != ids[0] || made.Role != role) {
				t.Errorf("made %+v for %s", made, revoked)
			}
			return err
		})
		b.signAndPublish()
		b.with(func(r *Repo) error {
			if int(r.root.Signed.Version) != i+2 {
				t.Errorf("root version %d", r.root.Signed.Version)
			}
			s, err := r.Status(0)
			if len(s.Warnings) > 0 || len(s.Staged) > 0 {
				t.Errorf("after rotating %s: %+v", role, s)
			}
			return err
		})
		if _, err := cached.refresh(); err != nil {
			t.Errorf("a device after rotating %s: %v", role, err)
		}
	}
	old.get("models/cats/3.zip") // from the first root straight to the last
}

// TestRevokedKeyIsWorthNothing: what a revoked online key signs, no device takes.
func TestRevokedKeyIsWorthNothing(t *testing.T) {
	b := newBench(t)
	stolen := b.found(RoleOnline)
	b.with(func(r *Repo) error {
		_, _, err := r.Rotate(RoleOnline, b.keys, "", passphrase("x"))
		return err
	})
	b.signAndPublish()
	d := b.device()
	if _, err := d.refresh(); err != nil {
		t.Fatal(err)
	}
	r := b.open()
	ring := keyring{keys: stolen, ask: passphrase("x"), open: map[string]ed25519.PrivateKey{}}
	signers, err := ring.signers([]string{stolen[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	forged := metadata.Timestamp(r.expires(1000))
	forged.Signed.Version = 99
	forged.Signed.Meta["snapshot.json"] = r.timestamp.Signed.Meta["snapshot.json"]
	if err := signAll(forged, signers); err != nil {
		t.Fatal(err)
	}
	data, err := forged.ToBytes(false)
	if err == nil {
		err = os.WriteFile(r.meta("timestamp.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.refresh(); err == nil {
		t.Error("a device took what the revoked key signed")
	}
}

// TestCrashBetweenFiles lets each publication end after each of its files. A
// device that knows the old state, and one that knows only the first root, must
// go on, and the next publish must complete the work.
func TestCrashBetweenFiles(t *testing.T) {
	rotate := func(role string) func(*bench) {
		return func(b *bench) {
			b.with(func(r *Repo) error {
				_, _, err := r.Rotate(role, b.keys, r.root.Signed.Roles[duties(role)[0]].KeyIDs[0], passphrase("x"))
				return err
			})
		}
	}
	for name, tt := range map[string]struct {
		stage func(*bench)
		// gap: without the old online key there is one state, right after the new
		// root, in which devices wait.
		onlyNew, gap bool
	}{
		"release":             {stage: func(b *bench) { b.add(4) }},
		"root key":            {stage: rotate(RoleRoot)},
		"targets key":         {stage: rotate(RoleTargets)},
		"online key":          {stage: rotate(RoleOnline)},
		"online key was lost": {stage: rotate(RoleOnline), onlyNew: true, gap: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := catsBench(t)
			before := b.found(RoleOnline)
			tt.stage(b)
			b.with(func(r *Repo) error {
				_, err := r.Sign(b.found(), passphrase("x"))
				return err
			})
			online := b.found(RoleOnline)
			if tt.onlyNew {
				online = slices.DeleteFunc(online, func(k *KeyFile) bool { return k.ID == before[0].ID })
			}
			r := b.open()
			ring := keyring{keys: online, ask: passphrase("x"), open: map[string]ed25519.PrivateKey{}}
			signers, err := ring.signers(r.eitherRoot(metadata.TIMESTAMP))
			if err != nil {
				t.Fatal(err)
			}
			files, _, err := r.plan(r.nextRoot(), r.nextTargets(), r.snapshot.Signed.Version+1, r.timestamp.Signed.Version+1, signers)
			if err != nil {
				t.Fatal(err)
			}
			for n := range len(files) + 1 {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(filepath.Dir(b.dir))); err != nil {
					t.Fatal(err)
				}
				c := serve(t, dir)
				cached, fresh := c.device(), c.device()
				if _, err := cached.refresh(); err != nil {
					t.Fatal(err)
				}
				for _, f := range files[:n] {
					if err := writePublic(filepath.Join(c.dir, metadataDir, f.name), content(f.data)); err != nil {
						t.Fatal(err)
					}
				}
				inGap := tt.gap && n == len(files)-1
				for which, d := range map[string]*device{"cached": cached, "fresh": fresh} {
					if _, err := d.refresh(); (err != nil) != inGap {
						t.Errorf("%s device after %d of %d files: %v", which, n, len(files), err)
					}
				}
				c.with(func(r *Repo) error {
					_, err := r.Publish(online, passphrase("x"))
					return err
				})
				if _, err := cached.refresh(); err != nil {
					t.Errorf("after %d files and another publish: %v", n, err)
				}
				c.with(func(r *Repo) error {
					if s, err := r.Status(0); err != nil || len(s.Staged)+len(s.Warnings) > 0 {
						t.Errorf("after %d files and another publish: %+v, %v", n, s, err)
					}
					return nil
				})
			}
		})
	}
}

// TestSignatureBySignature: root needs two signatures by different people.
func TestSignatureBySignature(t *testing.T) {
	b := newBench(t)
	b.with(func(r *Repo) error { return r.Renew(RoleRoot) })
	roots := b.found(RoleRoot)
	for i, k := range roots {
		b.with(func(r *Repo) error {
			if _, err := r.Publish(b.found(RoleOnline), passphrase("x")); !errors.Is(err, ErrThreshold) || !strings.Contains(err.Error(), fmt.Sprintf("%d of 2", i)) {
				t.Errorf("with %d signatures: %v", i, err)
			}
			s, err := r.Status(0)
			if err != nil || len(s.Staged) != 1 || len(s.Staged[0].SignedBy) != i || s.Staged[0].Missing == "" {
				t.Errorf("with %d signatures: %+v, %v", i, s.Staged, err)
			}
			for range 2 { // a second time changes nothing
				done, err := r.Sign([]*KeyFile{k}, passphrase("x"))
				if err != nil || len(done) != 1 || done[0].Key != k.ID {
					t.Errorf("signed %+v, %v", done, err)
				}
			}
			return nil
		})
	}
	b.with(func(r *Repo) error {
		p, err := r.Publish(b.found(RoleOnline), passphrase("x"))
		if p.Root != 2 {
			t.Errorf("published %+v", p)
		}
		return err
	})
	if _, err := b.device().refresh(); err != nil {
		t.Error(err)
	}
}

// tree is the content of all files, the lock aside.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == ".lock" {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRefusals: each says what is wrong, and changes nothing.
func TestRefusals(t *testing.T) {
	publish := func(b *bench, r *Repo) error {
		_, err := r.Publish(b.found(), passphrase("x"))
		return err
	}
	sign := func(b *bench, r *Repo) error {
		_, err := r.Sign(b.found(), passphrase("x"))
		return err
	}
	add := func(path func(*bench) string, m release.Meta) func(*bench, *Repo) error {
		return func(b *bench, r *Repo) error {
			_, err := r.Add(path(b), m)
			return err
		}
	}
	bundle := func(text string) func(*bench) string { return func(b *bench) string { return b.zip(text) } }
	stage := func(b *bench) { b.add(4) }
	for name, tt := range map[string]struct {
		prepare func(*bench)
		try     func(*bench, *Repo) error
		is      error
		want    string
	}{
		"wrong passphrase": {stage, func(b *bench, r *Repo) error {
			_, err := r.Sign(b.found(), passphrase("y"))
			return err
		}, ErrPassphrase, ""},
		"wrong passphrase of the online key": {nil, func(b *bench, r *Repo) error {
			_, err := r.Publish(b.found(), passphrase(""))
			return err
		}, ErrPassphrase, ""},
		"no key that may sign": {stage, func(b *bench, r *Repo) error {
			_, err := r.Sign(b.found(RoleOnline), passphrase("x"))
			return err
		}, ErrNoKey, "none of the 1 key files"},
		"no online key": {nil, func(b *bench, r *Repo) error {
			_, err := r.Publish(b.found(RoleRoot, RoleTargets), passphrase("x"))
			return err
		}, ErrNoKey, "the online key"},
		"nothing staged": {nil, sign, ErrNothing, ""},
		"not signed":     {stage, publish, ErrThreshold, "targets 3: not enough signatures: 0 of 1"},
		"expired root": {nil, func(b *bench, r *Repo) error {
			r.now = func() time.Time { return time.Now().AddDate(2, 0, 0) }
			return publish(b, r)
		}, ErrExpired, "root metadata has expired on"},
		"expired targets": {nil, func(b *bench, r *Repo) error {
			r.now = func() time.Time { return time.Now().AddDate(0, 0, 91) }
			return publish(b, r)
		}, ErrExpired, "targets metadata has expired on"},
		"bundle too large": {nil, add(func(b *bench) string {
			path := filepath.Join(b.t.TempDir(), "big.zip")
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, release.MaxBundleBytes+1)); err != nil {
				b.t.Fatal(err)
			}
			return path
		}, cats(4)), nil, "a bundle at most 629145600"},
		"no zip file": {nil, add(func(b *bench) string { return filepath.Join(b.dir, configName) }, cats(4)), nil, "not a valid zip file"},
		"no model": {nil, add(func(b *bench) string {
			path := filepath.Join(b.t.TempDir(), "empty.zip")
			if err := os.WriteFile(path, []byte("PK\x05\x06"+strings.Repeat("\x00", 18)), 0o600); err != nil {
				b.t.Fatal(err)
			}
			return path
		}, cats(4)), nil, "no .tflite file"},
		"no file":              {nil, add(func(*bench) string { return "nowhere.zip" }, cats(4)), fs.ErrNotExist, ""},
		"a folder":             {nil, add(func(b *bench) string { return b.dir }, cats(4)), nil, "no ordinary file"},
		"bad release":          {nil, add(bundle("x"), release.Meta{}), nil, `release ""`},
		"sequence not growing": {nil, add(bundle("x"), func() release.Meta { m := cats(4); m.Sequence = 3; return m }()), nil, "does not grow: model cats has 3"},
		"another hash":         {nil, add(bundle("other"), func() release.Meta { m := cats(3); m.Sequence = 9; return m }()), nil, "there already with another hash"},
		"release name taken":   {nil, add(bundle("x"), func() release.Meta { m := cats(4); m.Release = "cats-3"; return m }()), nil, "release cats-3 is models/cats/3.zip already"},
		"withdrawn sequence": {func(b *bench) {
			b.with(func(r *Repo) error { return r.Withdraw("cats", 9) })
		}, add(bundle("x"), cats(4)), nil, "withdrawn"},
		"policy goes down": {func(b *bench) {
			b.with(func(r *Repo) error { return r.Withdraw("cats", 9) })
		}, func(_ *bench, r *Repo) error { return r.Withdraw("cats", 8) }, nil, "it only grows"},
		"withdraw an unknown model": {nil, func(_ *bench, r *Repo) error { return r.Withdraw("dogs", 8) }, nil, "no target is of this model"},
		"withdraw a bad name":       {nil, func(_ *bench, r *Repo) error { return r.Withdraw("../x", 8) }, nil, "the name is 1 to 64"},
		"renew timestamp":           {nil, func(_ *bench, r *Repo) error { return r.Renew("timestamp") }, nil, "root and targets can be renewed"},
		"target gone": {func(b *bench) {
			files, err := filepath.Glob(filepath.Join(b.dir, "targets/models/cats/*.3.zip"))
			if err != nil || len(files) != 1 || os.Remove(files[0]) != nil {
				b.t.Fatal(files, err)
			}
		}, publish, fs.ErrNotExist, "target models/cats/3.zip"},
		"target changed": {func(b *bench) {
			files, err := filepath.Glob(filepath.Join(b.dir, "targets/models/cats/*.3.zip"))
			if err != nil || len(files) != 1 || os.WriteFile(files[0], []byte("evil"), 0o600) != nil {
				b.t.Fatal(files, err)
			}
		}, publish, ErrTampered, "target models/cats/3.zip"},
		"staged content vanishes": {stage, func(b *bench, r *Repo) error {
			delete(r.staged.targets.Signed.Targets, "models/cats/3.zip")
			r.staged.targets.ClearSignatures()
			// Signed with the right key in memory, as a key holder's own tool could.
			ring := keyring{keys: b.found(RoleTargets), ask: passphrase("x"), open: map[string]ed25519.PrivateKey{}}
			signers, err := ring.signers(r.eitherRoot(metadata.TARGETS))
			if err := errors.Join(err, signAll(r.staged.targets, signers)); err != nil {
				b.t.Fatal(err)
			}
			return publish(b, r)
		}, nil, "vanished or changed"},
		"rotate which root key": {nil, func(b *bench, r *Repo) error {
			_, _, err := r.Rotate(RoleRoot, b.keys, "", passphrase("x"))
			return err
		}, nil, "2 keys: say which"},
		"rotate an unknown key": {nil, func(b *bench, r *Repo) error {
			_, _, err := r.Rotate(RoleRoot, b.keys, "xyz", passphrase("x"))
			return err
		}, ErrNoKey, ""},
		"rotate an unknown role": {nil, func(b *bench, r *Repo) error {
			_, _, err := r.Rotate("snapshot", b.keys, "", passphrase("x"))
			return err
		}, nil, "root, targets and online"},
		"new key in the repository": {nil, func(b *bench, r *Repo) error {
			_, _, err := r.Rotate(RoleOnline, filepath.Join(b.dir, "targets", "keys"), "", passphrase("x"))
			return err
		}, nil, "lies inside it"},
		"empty passphrase for a new key": {nil, func(b *bench, r *Repo) error {
			_, _, err := r.Rotate(RoleOnline, b.keys, "", passphrase(""))
			return err
		}, nil, "passphrase is empty"},
		"locked": {nil, func(b *bench, _ *Repo) error {
			_, err := Open(b.dir)
			return err
		}, ErrLocked, ""},
		"no repository": {nil, func(b *bench, _ *Repo) error {
			_, err := Open(b.keys)
			return err
		}, ErrNoRepository, ""},
		"init where something is": {nil, func(b *bench, _ *Repo) error {
			_, err := Init(b.keys, InitOptions{Keys: b.dir + "-keys", Passphrase: passphrase("x")})
			return err
		}, nil, "not empty"},
		"init with keys inside": {nil, func(b *bench, _ *Repo) error {
			_, err := Init(b.dir+"-2", InitOptions{Keys: b.dir + "-2/keys", Passphrase: passphrase("x")})
			return err
		}, nil, "lies inside it"},
		"init with too high a threshold": {nil, func(b *bench, _ *Repo) error {
			_, err := Init(b.dir+"-2", InitOptions{Keys: b.keys, RootThreshold: 2, Passphrase: passphrase("x")})
			return err
		}, nil, "cannot give 2 signatures"},
		"init without a passphrase": {nil, func(b *bench, _ *Repo) error {
			_, err := Init(b.dir+"-2", InitOptions{Keys: b.keys, Passphrase: passphrase("")})
			return err
		}, nil, "passphrase is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			b := catsBench(t)
			if tt.prepare != nil {
				tt.prepare(b)
			}
			r, before := b.open(), tree(t, filepath.Dir(b.dir))
			err := tt.try(b, r)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v %q", err, tt.is, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			if after := tree(t, filepath.Dir(b.dir)); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("files changed:\n%v\n%v", before, after)
			}
		})
	}
}

// TestTampered: what is published and was changed afterwards is not built upon.
func TestTampered(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		old, by string
	}{
		"timestamp":         {"metadata/timestamp.json", `"version":2`, `"version":9`},
		"snapshot":          {"metadata/2.snapshot.json", `"version":2`, `"version":1`},
		"targets":           {"metadata/2.targets.json", `cats-3`, `cats-4`},
		"root":              {"metadata/1.root.json", `"threshold":2`, `"threshold":1`},
		"root without role": {"metadata/1.root.json", `"timestamp":{"`, `"timestamps":{"`},
		"truncated":         {"metadata/timestamp.json", `}`, ``},
		"configuration":     {"repo.json", `"root": 365`, `"root": 0`},
		"format":            {"repo.json", `"format": 1`, `"format": 2`},
	} {
		t.Run(name, func(t *testing.T) {
			b := catsBench(t)
			path := filepath.Join(b.dir, tt.file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(data), tt.old, tt.by, 1)
			if changed == string(data) {
				t.Fatalf("no %q in %s", tt.old, data)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := Open(b.dir); err == nil {
				t.Error("it was opened")
				_ = r.Close()
			}
		})
	}
}

func TestStatus(t *testing.T) {
	b := catsBench(t)
	b.add(4)
	r := b.open()
	s, err := r.Status(25 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Warnings); got != "[timestamp expires in 23 hours]" {
		t.Errorf("warnings %s", got)
	}
	if len(s.Targets) != 2 || s.Targets[0].Staged || !s.Targets[1].Staged || s.Targets[1].Release != "cats-4" || s.Targets[1].Bytes == 0 {
		t.Errorf("targets %+v", s.Targets)
	}
	if len(s.Roles) != 4 || s.Roles[0].Threshold != 2 || len(s.Roles[0].Keys) != 2 || s.Roles[0].Left != "364 days" {
		t.Errorf("roles %+v", s.Roles)
	}
	r.now = func() time.Time { return time.Now().AddDate(0, 0, 10) }
	if s, err = r.Status(0); err != nil || fmt.Sprint(s.Warnings) != "[snapshot has expired 3 days ago timestamp has expired 9 days ago]" {
		t.Errorf("ten days later: %q, %v", s.Warnings, err)
	}
}
