package spine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
)

// leftBehind makes the state folder of a stopped agent with n predictions, of
// which the first three are dead letters.
func leftBehind(t *testing.T, n int) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, agent.OutboxFile)
	o, err := outbox.Open(outbox.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p := payload.Prediction{
			Device: "dev", Boot: 1, Seq: uint64(i + 1), Camera: "front",
			Time:    time.Date(2026, 11, 20, 10, 0, i, 0, time.UTC),
			Results: []payload.Result{{Index: 1, Label: fmt.Sprintf("bird %d", i+1), Score: 0.5}},
		}
		rec, err := p.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Append(rec); err != nil {
			t.Fatal(err)
		}
		if (i+1)%100 == 0 {
			if err := o.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, _ := o.Take(3, 1<<20)
	if err := o.Refuse(b, "the broker closed the connection 5 times when it was sent: EOF"); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// outboxCmd runs egret outbox on a state folder and wants the exit code.
func outboxCmd(t *testing.T, dir string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	out, errs, code := egret(t, nil, append([]string{"outbox", args[0], "--state-dir", dir}, args[1:]...)...)
	if code != want {
		t.Fatalf("egret outbox %v: exit %d, want %d: %s%s", args, code, want, out, errs)
	}
	return out, errs
}

func wantLines(t *testing.T, what, out string, n int, parts ...string) {
	t.Helper()
	if got := strings.Count(out, "\n"); got != n {
		t.Errorf("%s: %d lines, want %d:\n%.500s", what, got, n, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("%s: no %q in:\n%.500s", what, part, out)
		}
	}
}

func TestOutboxCommands(t *testing.T) {
	dir, path := leftBehind(t, 400)
	out, _ := outboxCmd(t, dir, 0, "ls")
	wantLines(t, "ls", out, 397, "4        2026-11-20T10:00:03.000Z front", `"bird 4"`)
	out, _ = outboxCmd(t, dir, 0, "ls", "--limit", "2", "--json")
	wantLines(t, "ls --json", out, 2, `"seq":4`, `"id":"dev/1/5"`, `"label":"bird 5"`)
	out, _ = outboxCmd(t, dir, 0, "ls", "--dead")
	wantLines(t, "ls --dead", out, 3, `"bird 3"`, "the broker closed the connection 5 times")
	out, _ = outboxCmd(t, dir, 0, "ls", "--dead", "--json", "--limit", "1")
	wantLines(t, "ls --dead --json", out, 1, `"seq":1,`, `"refused":"2`, `"reason":"the broker`)
	out, _ = outboxCmd(t, dir, 0, "export", "--dead")
	wantLines(t, "export --dead", out, 3, `{"id":"dev/1/1",`)
	out, _ = outboxCmd(t, dir, 0, "export", path)
	wantLines(t, "export FILE", out, 397, `{"id":"dev/1/4",`)
	out, _ = outboxCmd(t, dir, 0, "export", "--file", path, "--dead")
	wantLines(t, "export --file --dead", out, 3, `{"id":"dev/1/1",`)
	out, _ = outboxCmd(t, dir, 0, "stat")
	wantLines(t, "stat", out, 7, "stored        397 ", "dropped       3 (refused)\ndead letters  3 (", "file          ")
	out, _ = outboxCmd(t, dir, 0, "verify")
	wantLines(t, "verify", out, 1, "no damage found", "397 records, 3 dead letters")

	out, _ = outboxCmd(t, dir, 0, "retry", "2")
	wantLines(t, "retry 2", out, 1, "put 1 dead letters back")
	_, errs := outboxCmd(t, dir, 1, "retry", "2")
	wantLines(t, "retry 2 again", errs, 1, "no such dead letter: egret outbox ls --dead")
	out, _ = outboxCmd(t, dir, 0, "retry", "--all")
	wantLines(t, "retry --all", out, 1, "put 2 dead letters back")
	out, _ = outboxCmd(t, dir, 0, "stat", "--json")
	var acc struct {
		payload.Account
		DeadLetters uint64 `json:"dead_letters"`
		FileBytes   int64  `json:"file_bytes"`
	}
	if err := json.Unmarshal([]byte(out), &acc); err != nil {
		t.Fatal(err)
	}
	if acc.Produced != 400 || acc.Stored != 400 || len(acc.Dropped) != 0 || acc.DeadLetters != 0 || acc.FileBytes == 0 {
		t.Errorf("after the retries: %s", out)
	}
	out, _ = outboxCmd(t, dir, 0, "verify")
	wantLines(t, "verify", out, 1, "400 records, 0 dead letters")
}

func TestOutboxCommandsSayWhatToTry(t *testing.T) {
	dir, path := leftBehind(t, 10)
	empty := t.TempDir()
	for _, tt := range []struct {
		dir  string
		code int
		args []string
		want string
	}{
		{dir, 2, []string{"retry"}, "egret outbox ls --dead"},
		{dir, 2, []string{"retry", "--all", "1"}, "egret outbox ls --dead"},
		{dir, 2, []string{"retry", "x"}, "egret outbox ls --dead"},
		{dir, 2, []string{"ls", "--limit", "-1"}, "leave it out for all"},
		{dir, 2, []string{"export", "--file", path, path}, "name the file once"},
		{empty, 1, []string{"ls"}, "has an agent ever run"},
		{empty, 1, []string{"verify"}, "has an agent ever run"},
		{empty, 1, []string{"retry", "--all"}, "has an agent ever run"},
	} {
		_, errs := outboxCmd(t, tt.dir, tt.code, tt.args...)
		wantLines(t, fmt.Sprint(tt.args), errs, 1, tt.want)
	}
	o, err := outbox.Open(outbox.Options{Path: path}) // an agent that runs
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, args := range [][]string{{"ls"}, {"ls", "--dead"}, {"export"}, {"export", path}, {"retry", "--all"}, {"verify"}, {"stat"}} {
		_, errs := outboxCmd(t, dir, 1, args...)
		wantLines(t, fmt.Sprint(args), errs, 1, "stop the agent first")
	}
}

// TestDamagedOutboxCommands: of a file with a broken block everything else can
// still be printed, and the damage is named.
func TestDamagedOutboxCommands(t *testing.T) {
	dir, path := leftBehind(t, 400)
	aside := path + ".damaged-1"
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(aside, 0o600, &bolt.Options{PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(binary.BigEndian.AppendUint64(nil, 101))
		k, v := b.Cursor().First()
		bad := bytes.Clone(v)
		bad[40] ^= 0xff
		return b.Put(bytes.Clone(k), bad)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	out, _ := outboxCmd(t, dir, 1, "verify", "--file", aside)
	wantLines(t, "verify --file", out, 2, ": block checksum: damaged\n", "297 records where the account says 397")
	out, errs := outboxCmd(t, dir, 1, "export", aside)
	wantLines(t, "export FILE", errs, 1, "printed 297 records, 100 more cannot be read: block 101: block checksum")
	wantLines(t, "export FILE", out, 297, `{"id":"dev/1/100",`, `{"id":"dev/1/201",`)
	if err := os.WriteFile(aside, []byte(strings.Repeat("not an outbox\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = outboxCmd(t, dir, 1, "export", aside)
	wantLines(t, "export of a text file", errs, 1, "nothing of this file can be read")
	out, _ = outboxCmd(t, dir, 1, "verify", "--file", aside)
	wantLines(t, "verify of a text file", out, 1, "both meta pages")
}
