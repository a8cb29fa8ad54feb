package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/sync/release"
	"github.com/egret-edge/egret/test/mosquitto"
)

// stage is a real broker with a desk and devices.
func stage(t *testing.T, change func(*Options)) (*mosquitto.Broker, *Desk, *floor) {
	t.Helper()
	b := mosquitto.Start(t, mosquitto.Config{})
	return b, deskAt(t, b, change), newFloor(t, b.Addr())
}

func deskAt(t *testing.T, b *mosquitto.Broker, change func(*Options)) *Desk {
	t.Helper()
	return newDesk(t, func(o *Options) {
		o.Broker = "tcp://" + b.Addr()
		if change != nil {
			change(o)
		}
	})
}

// TestRollout is the whole way of one, as a device sees it: each document can be
// read and is newer than the one before.
func TestRollout(t *testing.T) {
	_, d, f := stage(t, nil)
	var mu sync.Mutex // guards seen
	var seen []Document
	f.wait(f.client.Subscribe(d.Topic(), 1, func(_ paho.Client, m paho.Message) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, parseDocument(m.Payload()))
	}))
	r := cats()
	mustContain(t, mustChange(t, d, Start(r, false, at)), "cohort west: release cats-3 (models/cats/3.zip) running for 5%, gen 1795168800 rev 1")
	// Of cam-0000 to cam-0019 the formula takes some for 50%.
	for i := range 20 {
		f.status(deviceName(i), payload.Online, "")
		f.report(deviceName(i), payload.Idle, nil)
	}
	if c := mustStatus(t, d).Counts; c.Devices != 20 || c.Online != 20 || c.Waiting != c.Selected || len(c.States) != 0 {
		t.Errorf("%+v", c)
	}
	mustContain(t, mustChange(t, d, Promote(5000)), "running for 50%, gen 1795168800 rev 2")
	selected := 0
	for _, row := range mustStatus(t, d).Devices {
		if row.Selected {
			selected++
			f.report(row.ID, payload.Committed, func(p *payload.Reported) { p.Release, p.Gen = "cats-3", 1795168800 })
		}
	}
	if c := mustStatus(t, d).Counts; c.Selected != selected || c.States[payload.Committed] != selected || c.Waiting != 0 || selected == 0 || selected == 20 {
		t.Errorf("%d selected: %+v", selected, c)
	}
	mustContain(t, mustChange(t, d, Pause()), "paused for 50%, gen 1795168800 rev 3")
	mustContain(t, mustChange(t, d, Pause()), "paused for 50%, gen 1795168800 rev 3, downloads spread over 10m, back to the version before when aborted already")
	mustContain(t, mustChange(t, d, Resume()), "running for 50%, gen 1795168800 rev 4")
	mustContain(t, mustChange(t, d, Abort()), "aborted for 50%, gen 1795168800 rev 5")
	if _, err := d.Change(context.Background(), Resume()); !errors.Is(err, ErrAborted) {
		t.Errorf("resumed what was aborted: %v", err)
	}
	mustContain(t, mustChange(t, d, Start(r, false, at)), "gen 1795168801 rev 1")
	line, err := d.Clear(context.Background())
	if err != nil || line != "cohort west: no rollout any more, devices keep what they have" {
		t.Errorf("%q, %v", line, err)
	}
	if line, err := d.Clear(context.Background()); err != nil || line != "cohort west: no rollout already" {
		t.Errorf("%q, %v", line, err)
	}
	if s := mustStatus(t, d); s.Rollout != nil || s.Counts.States[payload.Idle] != 20-selected {
		t.Errorf("%+v %+v", s.Rollout, s.Counts)
	}
	eventually(t, "all documents", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == 7 })
	mu.Lock()
	defer mu.Unlock()
	for i, now := range seen[:6] {
		if now.Problem != nil || i > 0 && !seen[i-1].Rollout.Older(now.Rollout) {
			t.Errorf("document %d: %s, %v", i, now.Data, now.Problem)
		}
	}
	if len(seen[6].Data) != 0 {
		t.Errorf("not cleared: %s", seen[6].Data)
	}
}

func mustContain(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q has no %q", text, part)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestPin: a device's own document leaves the cohort's alone.
func TestPin(t *testing.T) {
	b, d, f := stage(t, nil)
	p := deskAt(t, b, func(o *Options) { o.Pin = "cam-7" })
	mustChange(t, d, Start(cats(), false, at))
	r := cats()
	r.Release, r.Target, r.BasisPoints = "dogs-1", "models/dogs/1.zip", release.All
	mustContain(t, mustChange(t, p, Start(r, false, at)), "device cam-7: release dogs-1")
	f.report("cam-7", payload.Trial, func(p *payload.Reported) { p.Release, p.Gen = "dogs-1", 1795168800 })
	f.report("cam-8", payload.Idle, nil)
	if s := mustStatus(t, d); s.Rollout.Release != "cats-3" || len(s.Devices) != 2 || s.Devices[0].Pin.Release != "dogs-1" || s.Counts.Pinned != 1 {
		t.Errorf("%+v", s)
	}
	if s := mustStatus(t, p); s.Rollout.Release != "dogs-1" || len(s.Devices) != 1 || s.Counts.States[payload.Trial] != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := p.Clear(context.Background()); err != nil {
		t.Error(err)
	}
	if s := mustStatus(t, d); s.Rollout == nil || s.Counts.Pinned != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTwoOperators: who is overwritten between writing and reading back is told.
func TestTwoOperators(t *testing.T) {
	b, d, f := stage(t, nil)
	mustChange(t, d, Start(cats(), false, at))
	other := deskAt(t, b, nil)
	// The other one's command runs between this one's reading and writing: then
	// this one is the later, and wins.
	line, err := d.Change(context.Background(), func(old Document) (release.Rollout, error) {
		mustContain(t, mustChange(t, other, Promote(5000)), "50%, gen 1795168800 rev 2")
		return Pause()(old)
	})
	if err != nil || !strings.Contains(line, "paused for 5%, gen 1795168800 rev 2") {
		t.Errorf("%q, %v", line, err)
	}
	// Or it comes between this one's writing and reading back.
	for is, meddle := range map[string]func(){
		"release cats-3 (models/cats/3.zip) aborted for 5%": func() { mustChange(t, other, Abort()) },
		"no rollout":          func() { _, _ = other.Clear(context.Background()) },
		"what cannot be read": func() { f.retain(d.Topic(), []byte("{")) },
	} {
		mustChange(t, d, Start(cats(), true, at))
		err := d.connected(context.Background(), func(ctx context.Context, l *link) error {
			ours := doc(nil).Rollout
			if err := l.write(ctx, d.Topic(), ours); err != nil {
				return err
			}
			meddle()
			return d.confirm(ctx, l, func(now Document) bool { return now.Rollout == ours })
		})
		if !errors.Is(err, ErrOverwritten) || !strings.Contains(err.Error(), "now it is "+is) {
			t.Errorf("%v, want %q", err, is)
		}
	}
}

// TestHostileDocuments: what cannot be read is said, and replaced when asked.
func TestHostileDocuments(t *testing.T) {
	_, d, f := stage(t, nil)
	for _, body := range []string{"{", "\x1b[2J", `{"gen":1}`, `{"gen":9,"release":"\u001b[2J","state":"running"}`, strings.Repeat("x", 1<<20)} {
		f.retain(d.Topic(), []byte(body))
		for _, plan := range []Plan{Pause(), Resume(), Abort(), Promote(release.All), Start(cats(), false, at)} {
			_, err := d.Change(context.Background(), plan)
			if !errors.Is(err, ErrUnreadable) {
				t.Errorf("%.40q: %v", body, err)
				continue
			}
			showable(t, err.Error())
		}
		if s := mustStatus(t, d); s.Rollout != nil || s.Problem == "" {
			t.Errorf("%.40q: %+v", body, s)
		}
		mustContain(t, mustChange(t, d, Start(cats(), true, at)), "running for 5%, gen 1795168800 rev 1")
		f.retain(d.Topic(), []byte(body))
		if _, err := d.Clear(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// TestManyDevices: brokers drop most of such a flood at QoS 1.
func TestManyDevices(t *testing.T) {
	_, d, f := stage(t, nil)
	const many = 2000
	var last paho.Token
	for i := range many {
		id := deviceName(i)
		last = f.client.Publish(payload.Topics{Fleet: "test", Device: id}.Reported(), 1, true,
			fmt.Appendf(nil, `{"device":%q,"cohort":"west","state":"committed","release":"cats-3","gen":7,"serving":{"cats":{"name":"cats","version":3,"digest":"sha256:%064d"}}}`, id, i))
	}
	f.wait(last)
	f.status(deviceName(0), payload.Online, "")
	began := time.Now()
	s := mustStatus(t, d)
	t.Logf("%d devices read in %v", len(s.Devices), time.Since(began))
	if len(s.Devices) != many || s.Counts.States[payload.Committed] != many || s.Counts.Online != 1 {
		t.Errorf("%d devices, %+v", len(s.Devices), s.Counts)
	}
}

// TestWatch: changes are told as they come, and a broker that was away is found
// again with whatever it then holds.
func TestWatch(t *testing.T) {
	b, d, f := stage(t, nil)
	f.report("cam-1", payload.Idle, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var text lockedText
	done := make(chan error, 1)
	go func() { done <- d.Watch(ctx, Lines(&text, d.Scope(), nil)) }()
	eventually(t, "the first status", func() bool { return strings.Contains(text.String(), "\ncam-1 ") })
	f.report("cam-1", payload.Downloading, func(p *payload.Reported) { p.Release, p.Progress = "cats-3", &payload.Progress{Done: 1, Of: 4} })
	f.report("cam-2", payload.Idle, nil)
	mustChange(t, d, Start(cats(), false, at))
	eventually(t, "the changes", func() bool {
		s := text.String()
		return strings.Contains(s, "Z cam-1 downloading cats-3 25% of 0.0 MB\n") && strings.Contains(s, "Z cam-2 idle\n") && strings.Contains(s, "Z cohort west: release cats-3 (")
	})
	b.Restart() // without what it knew
	eventually(t, "that the connection is lost", func() bool { return strings.Contains(text.String(), "connection lost: ") })
	newFloor(t, b.Addr()).report("cam-2", payload.Trial, nil)
	eventually(t, "what is there now", func() bool {
		s := text.String()
		return strings.Contains(s, "Z cam-2 trial\n") && strings.Contains(s, "Z cam-1 is gone\n") && strings.Contains(s, "Z cohort west: no rollout\n")
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// lockedText may be written and read at once.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestTrouble: a broker that is away, that answers nothing, or that lets nobody
// in is said in one line, by everything that connects.
func TestTrouble(t *testing.T) {
	b, _, _ := stage(t, nil)
	closed := mosquitto.Start(t, mosquitto.Config{User: "op", Password: "right"})
	gone := mosquitto.Start(t, mosquitto.Config{})
	gone.Stop()
	for want, d := range map[string]*Desk{
		"connection refused":                 deskAt(t, gone, nil),
		"does not authorise this client":     deskAt(t, closed, nil),
		"TLS port (8883 as a rule)":          newDesk(t, func(o *Options) { o.Broker = "mqtts://" + b.Addr() }),
		"mqtt password: no such file, today": deskAt(t, closed, func(o *Options) { o.Password = func() (string, error) { return "", errors.New("no such file, today") } }),
	} {
		_, change := d.Change(context.Background(), Pause())
		_, status := d.Status(context.Background())
		watch := d.Watch(context.Background(), func(Update) error { t.Error("shown"); return nil })
		for _, err := range []error{change, status, watch} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
	in := deskAt(t, closed, func(o *Options) { o.Username, o.Password = "op", func() (string, error) { return "right", nil } })
	mustChange(t, in, Start(cats(), false, at))
	b.Freeze()
	defer b.Thaw()
	frozen := deskAt(t, b, func(o *Options) { o.Timeout = 300 * time.Millisecond })
	if _, err := frozen.Change(context.Background(), Pause()); err == nil {
		t.Error("a frozen broker answered")
	} else {
		mustContain(t, err.Error(), "in time")
	}
}

func TestWatchScreen(t *testing.T) {
	v := filled(t, nil)
	var b strings.Builder
	show := Screen(&b, func() Size { return Size{Columns: 60, Rows: 20} }, []payload.ReleaseState{payload.Trial})
	if err := show(v.update()); err != nil {
		t.Fatal(err)
	}
	first := b.String()
	if err := show(v.update()); err != nil || b.String() != first {
		t.Errorf("drawn again without news: %v", err)
	}
	v.fold("egret/v1/test/dev/cam-1/reported", []byte(`{"device":"cam-1","cohort":"west","state":"trial"}`))
	u := v.update()
	u.Trouble = "connection lost: \x1b[2JEOF"
	if err := show(u); err != nil {
		t.Fatal(err)
	}
	frames := strings.Split(b.String(), "\x1b[H\x1b[2J")
	if len(frames) != 3 || strings.Contains(frames[1], "cam-1 ") || !strings.HasPrefix(frames[2], "connection lost: ?[2JEOF: trying again\n") || !strings.Contains(frames[2], "\ncam-1 ") {
		t.Errorf("%q", frames)
	}
	showable(t, frames[2])
}

func TestWatchJSON(t *testing.T) {
	v := filled(t, nil)
	var b strings.Builder
	show := JSON(&b, nil)
	u := v.update()
	u.First = true
	if err := show(u); err != nil {
		t.Fatal(err)
	}
	v.fold("egret/v1/test/dev/cam-1/reported", nil)
	v.fold("egret/v1/test/desired/west", nil)
	if err := show(v.update()); err != nil {
		t.Fatal(err)
	}
	if err := show(Update{Trouble: "EOF", Missed: 3}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i, want := range []string{`"counts":{`, `"device":{"device":"cam-1","online":"online","agent":"1.4.0","state":"silent"`, `"document":true}`, `"missed":3,"trouble":"EOF"}`} {
		if len(lines) != 4 || !strings.Contains(lines[i], want) {
			t.Fatalf("line %d has no %s:\n%s", i, want, b.String())
		}
	}
}
