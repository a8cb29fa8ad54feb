package spine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/egret-edge/egret/agent"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
)

// command runs egret model … for the site's device; want is a regular expression
// of all that it prints.
func (s *site) command(code int, want string, args ...string) {
	s.t.Helper()
	out, errs, got := egret(s.t, nil, append([]string{"model", args[0], "--config", s.config.path}, args[1:]...)...)
	if got != code || !regexp.MustCompile("^"+want+"$").MatchString(strings.TrimSuffix(out+errs, "\n")) {
		s.t.Errorf("egret model %s: exit %d, want %d, and %q to match %s", strings.Join(args, " "), got, code, out+errs, want)
	}
}

// ls is a line for each version as egret model ls --json has it: number, where,
// states, and why it was refused.
func (s *site) ls(want ...string) {
	s.t.Helper()
	out, errs, code := egret(s.t, nil, "model", "ls", "colours", "--json", "--config", s.config.path)
	var all []agent.Stock
	if err := json.Unmarshal([]byte(out), &all); code != 0 || err != nil || len(all) != 1 {
		s.t.Fatalf("egret model ls: exit %d, %v: %s%s", code, err, out, errs)
	}
	var got []string
	for _, v := range all[0].Versions {
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%d %s [%s] %s", v.Version, v.Where, strings.Join(v.State, ", "), v.Failed), " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.t.Errorf("egret model ls:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// edit changes the configuration's text.
func (s *site) edit(changes ...string) {
	s.t.Helper()
	data, err := os.ReadFile(s.config.path)
	if err == nil {
		err = os.WriteFile(s.config.path, []byte(strings.NewReplacer(changes...).Replace(string(data))), 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// cameras watches which version answers for each camera; the function that it
// returns waits until these do.
func (s *site) cameras() func(want map[string]int) {
	s.t.Helper()
	var mu sync.Mutex
	now, more := map[string]int{}, make(chan struct{}, 1)
	topics := payload.Topics{Fleet: fleetName, Device: deviceName}
	take := func(_ paho.Client, m paho.Message) {
		var p payload.Prediction
		if json.Unmarshal(m.Payload(), &p) != nil || p.Camera == "" {
			return // a picture
		}
		mu.Lock()
		now[p.Camera] = p.Model.Version
		mu.Unlock()
		select {
		case more <- struct{}{}:
		default:
		}
	}
	if tok := s.client.Subscribe(strings.Replace(topics.Camera("x"), "/x", "/+", 1), 0, take); !tok.WaitTimeout(patience) || tok.Error() != nil {
		s.t.Fatal(tok.Error())
	}
	return func(want map[string]int) {
		s.t.Helper()
		deadline := time.After(patience)
		for {
			mu.Lock()
			same := true
			for camera, v := range want {
				same = same && now[camera] == v
			}
			said := fmt.Sprint(now)
			mu.Unlock()
			if same {
				return
			}
			select {
			case <-more:
			case <-deadline:
				s.t.Fatalf("versions by camera are %s, want %v; reported: %s", said, want, s.path())
			}
		}
	}
}

const two = `cameras: [{name: front, source: "SOURCE", model: FRONT}, {name: back, source: "SOURCE", model: BACK}]`

// twoCameras has the cameras front and back run these models.
func (s *site) twoCameras(front, back string) {
	source := "folder:" + filepath.Join(s.dir, "pictures") + "?fps=40&loop=true"
	s.edit(`cameras: [{name: front, source: "`+source+`"}]`, strings.NewReplacer("SOURCE", source, "FRONT", front, "BACK", back).Replace(two))
}

func (s *site) publishSecond() {
	s.publish(2, s.model(2, smallmodel.Options{Seed: 2}, s.t.TempDir()+"/colours"), nil)
}

// TestModelAtTheDevice: who is at the device sees what serves at each stage, and
// decides against a rollout.
func TestModelAtTheDevice(t *testing.T) {
	s := newSite(t, "")
	s.publishSecond()
	s.ls("1 factory [serving, stable]")
	s.command(1, `egret: there is no state folder .*: has an agent ever run with this configuration\?`, "pin", "colours", "1")
	d := started(t, s.config)
	s.answers(1, 5)
	s.command(1, `egret: nothing to go back to: version 1 of colours is the factory model: egret model promote takes another version`, "rollback", "colours")
	s.command(0, `version 1 of colours serves now`, "pin", "colours", "1")
	s.ls("1 factory [serving, stable, pinned]")
	s.roll(2, 1, nil)
	s.until("that it is pinned", func(r payload.Reported) bool {
		return r.State == payload.Idle && r.Reason == "colours is pinned to version 1 on this device"
	})
	s.command(0, `colours is not pinned any more: newer versions may come`, "pin", "colours", "--off")
	s.reaches(2, payload.Committed)
	s.answers(2, 5)
	s.ls("1 factory [previous]", "2 store [serving, stable]")
	s.command(1, `egret: version 2 of colours is serving: egret model rollback goes back from it`, "rm", "colours", "2")
	s.command(1, `egret: version 1 of colours is in the configured folder: remove .*/factory/colours/1 yourself`, "rm", "colours", "1")
	s.command(0, `version 1 of colours serves now`, "rollback", "colours")
	s.reaches(2, payload.RolledBack)
	s.answers(1, 5)
	s.ls("1 factory [serving, stable]", "2 store [] rolled back by an order on the device")
	s.command(0, `removed version 2 of colours`, "rm", "colours", "2")
	// The document is there again after a restart, and has been dealt with.
	d.stop()
	s.mu.Lock()
	s.reports = nil
	s.mu.Unlock()
	d = started(t, s.config)
	s.until("the document again", func(r payload.Reported) bool { return r.Release == "colours-2" && r.State == payload.RolledBack })
	s.answers(1, 20)
	s.ls("1 factory [serving, stable]")
	s.roll(2, 2, nil) // news
	s.reaches(2, payload.Committed)
	s.command(0, `version 1 of colours serves now`, "rollback", "colours", "--factory")
	s.answers(1, 5)
	s.command(1, `egret: there is no version 9 of colours on this device: there are 1, 2`, "promote", "colours", "9")
	d.stop()
}

// TestModelRollbackUnderWay: a rollback ends what is on its way, and what serves
// stays.
func TestModelRollbackUnderWay(t *testing.T) {
	const updates = "updates: {repository: REPO, root: ROOTJSON, cohort: north, shadow_frames: %d, trial_frames: %d, poll: 100ms}"
	for _, tt := range []struct {
		in, end       payload.ReleaseState
		shadow, trial int
		during        []string
	}{
		{payload.Shadow, payload.Rejected, 100000, 16, []string{"1 factory [serving, stable]", "2 store [under way]"}},
		{payload.Trial, payload.RolledBack, 16, 100000, []string{"1 factory [previous]", "2 store [serving, stable, on trial]"}},
	} {
		t.Run(string(tt.in), func(t *testing.T) {
			s := newSite(t, fmt.Sprintf(updates, tt.shadow, tt.trial))
			s.publishSecond()
			started(t, s.config)
			s.roll(2, 1, nil)
			s.reaches(2, tt.in)
			s.ls(tt.during...)
			s.command(0, "version 2 of colours is on its way already: "+string(tt.in), "promote", "colours", "2")
			s.command(1, "egret: version 2 of colours is .*: egret model rollback .*", "rm", "colours", "2")
			s.command(0, "version 1 of colours serves now", "rollback", "colours")
			got := s.reaches(2, tt.end)
			if got.Reason != "an order on the device came between" {
				t.Errorf("reason %q", got.Reason)
			}
			s.answers(1, 20)
			s.ls("1 factory [serving, stable]")
		})
	}
}

// TestModelCanary: one camera runs the canary beside what serves, until it is
// promoted.
func TestModelCanary(t *testing.T) {
	s := newSite(t, "")
	s.twoCameras("colours", "colours@canary")
	s.publishSecond()
	answer := s.cameras()
	d := started(t, s.config)
	answer(map[string]int{"front": 1, "back": 1})
	s.roll(2, 1, nil)
	s.reaches(2, payload.Committed)
	s.command(0, "version 1 of colours serves now", "rollback", "colours")
	answer(map[string]int{"front": 1, "back": 1})
	s.command(0, "version 2 of colours is the canary: cameras with model colours@canary run it", "pin", "colours", "2", "--canary")
	answer(map[string]int{"front": 1, "back": 2})
	s.ls("1 factory [serving, stable]", "2 store [canary] rolled back by an order on the device")
	s.command(1, "egret: version 2 of colours is canary: egret model pin --canary --off ends that", "rm", "colours", "2")
	d.stop()
	d = started(t, s.config) // it is kept
	answer(map[string]int{"front": 1, "back": 2})
	s.command(0, "colours has no canary any more: cameras with model colours@canary run what serves", "pin", "colours", "--canary", "--off")
	answer(map[string]int{"front": 1, "back": 1})
	s.command(0, "version 2 of colours is the canary: .*", "pin", "colours", "2", "--canary")
	answer(map[string]int{"front": 1, "back": 2})
	s.mu.Lock()
	s.reports = nil
	s.mu.Unlock()
	s.command(0, "version 2 of colours (is on its way: [a-z]+|serves now)", "promote", "colours")
	s.reaches(2, payload.Committed)
	answer(map[string]int{"front": 2, "back": 2})
	s.ls("1 factory [previous]", "2 store [serving, stable]")
	// Whoever promoted what had been gone back from has forgiven it.
	s.until("that the release serves", func(r payload.Reported) bool { return r.Release == "colours-2" && r.State == payload.Committed })
	d.stop()
}

// TestModelOrdersWhileStopped: orders that nobody could obey are obeyed at the
// start, also several that were given at once.
func TestModelOrdersWhileStopped(t *testing.T) {
	s := newSite(t, "")
	shapes := filepath.Join(s.dir, "factory", "shapes")
	for v := 1; v <= 2; v++ {
		s.model(v, smallmodel.Options{Seed: uint64(v)}, s.factory())
		s.model(v, smallmodel.Options{Seed: uint64(v)}, shapes)
	}
	s.twoCameras("colours", "shapes")
	s.edit("models: [{name: colours", "models: [{name: shapes, path: "+shapes+"}, {name: colours")
	answer := s.cameras()
	d := started(t, s.config)
	answer(map[string]int{"front": 2, "back": 2})
	d.stop()
	var wg sync.WaitGroup
	for _, args := range [][]string{{"promote", "colours", "1"}, {"promote", "shapes", "1"}, {"pin", "shapes", "1"}, {"pin", "colours", "2", "--canary"}} {
		wg.Go(func() { s.command(0, "the agent does not run: it will obey when it starts", args...) })
	}
	wg.Wait()
	d = started(t, s.config)
	answer(map[string]int{"front": 1, "back": 1})
	s.command(0, `version 1 of shapes (serves now|is on its way: [a-z]+)`, "pin", "shapes", "1")
	d.waitLog(`msg="update committed" model=colours`) // it answers while it is on trial
	d.stop()
	s.ls("1 factory [serving, stable]", "2 factory [previous, canary]")
}

// TestModelVersions: the policies all and a list, and cameras that name
// versions, side by side.
func TestModelVersions(t *testing.T) {
	fixed := `egret: the configuration fixes the versions of colours \(version_policy\): change it there and reload the agent`
	for _, tt := range []struct {
		name, policy, front, back string
		answers                   map[string]int
		ls                        []string
		code                      int
		pin                       string
		after                     map[string]int
	}{
		{
			"all", "all", "colours@1", "colours", map[string]int{"front": 1, "back": 2},
			[]string{"1 factory [configured]", "2 factory [serving, stable]"}, 0, "version 1 of colours (is on its way: [a-z]+|serves now)", map[string]int{"front": 1, "back": 1},
		}, {
			"list", "[1, 2]", "colours@1", "colours@2", map[string]int{"front": 1, "back": 2},
			[]string{"1 factory [configured]", "2 factory [serving, stable, configured]"}, 1, fixed, map[string]int{"front": 1, "back": 2},
		}, {
			"stable", "[1, 2]", "colours@stable", "colours@1", map[string]int{"front": 2, "back": 1},
			[]string{"1 factory [configured]", "2 factory [serving, stable, configured]"}, 1, fixed, map[string]int{"front": 2, "back": 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, "")
			s.model(2, smallmodel.Options{Seed: 2}, s.factory())
			s.twoCameras(tt.front, tt.back)
			s.edit("models: [{name: colours,", "models: [{name: colours, version_policy: "+tt.policy+",")
			answer := s.cameras()
			started(t, s.config)
			answer(tt.answers)
			s.ls(tt.ls...)
			s.command(tt.code, tt.pin, "pin", "colours", "1")
			answer(tt.after)
		})
	}
}

// TestModelVersionGone: a camera whose version is not on the device, as after a
// new card, runs what serves, also after a swap.
func TestModelVersionGone(t *testing.T) {
	s := newSite(t, "")
	s.twoCameras("colours@2", "colours")
	answer := s.cameras()
	d := started(t, s.config)
	answer(map[string]int{"front": 1, "back": 1})
	d.waitLog("there is no version 2 of colours on this device")
	s.publish(3, s.model(3, smallmodel.Options{Seed: 3}, t.TempDir()+"/colours"), nil)
	s.roll(3, 1, nil)
	s.reaches(3, payload.Committed)
	answer(map[string]int{"front": 3, "back": 3})
	d.stop()
}

// TestModelDoctor: the doctor looks at what serves, not at the highest version.
func TestModelDoctor(t *testing.T) {
	s := newSite(t, "")
	s.model(2, smallmodel.Options{Seed: 2}, s.factory())
	d := started(t, s.config)
	s.command(0, "version 1 of colours (is on its way: [a-z]+|serves now)", "promote", "colours", "1")
	s.reaches(1, payload.Committed)
	d.stop()
	doctor := func() string {
		out, _, _ := egret(t, nil, "doctor", "--config", s.config.path)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "model colours") {
				return strings.TrimSpace(line)
			}
		}
		return out
	}
	if got := doctor(); !strings.HasPrefix(got, "ok    model colours    colours version 1, ") {
		t.Error(got)
	}
	if err := os.Truncate(filepath.Join(s.factory(), "1", "model.tflite"), 1000); err != nil {
		t.Fatal(err)
	}
	if got := doctor(); !strings.HasPrefix(got, "FAIL  model colours    the model file in ") || !strings.HasSuffix(got, ": egret model rollback colours goes back to the version before, as the agent's next start does") {
		t.Error(got)
	}
}
