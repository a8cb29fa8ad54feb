package fleet

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/egret-edge/egret/sync/release"
)

func cats() release.Rollout {
	return release.Rollout{Release: "cats-3", Target: "models/cats/3.zip", BasisPoints: 500, JitterS: 600, OnAbort: release.Previous}
}

// doc is a document as the broker has it.
func doc(change func(*release.Rollout)) Document {
	r := cats()
	r.Gen, r.Rev, r.State, r.Salt = 7, 2, release.Running, "s"
	if change != nil {
		change(&r)
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return parseDocument(data)
}

var (
	paused  = func(r *release.Rollout) { r.State = release.Paused }
	aborted = func(r *release.Rollout) { r.State = release.Aborted }
	broken  = parseDocument([]byte(`{"gen":9,"release":"\u001b[2J"}`))
)

// planCases are what each command makes of what there is. want is gen/rev, the
// state and the share; an error has none.
var planCases = []struct {
	name string
	old  Document
	plan Plan
	want string
	err  error
}{
	{"start", Document{}, Start(cats(), false, at), "1795168800/1 running 5%", nil},
	{"start again", doc(nil), Start(cats(), false, at), "1795168800/1 running 5%", nil},
	{"start with a slow clock", doc(func(r *release.Rollout) { r.Gen = 1 << 40 }), Start(cats(), false, at), "1099511627777/1 running 5%", nil},
	{"start before 1970", Document{}, Start(cats(), false, time.Unix(-5, 0)), "1/1 running 5%", nil},
	{"start beside another", doc(func(r *release.Rollout) { r.Release = "dogs-1" }), Start(cats(), false, at), "", ErrOther},
	{"start beside a paused one", doc(func(r *release.Rollout) { r.Release, r.State = "dogs-1", release.Paused }), Start(cats(), false, at), "", ErrOther},
	{"start beside another target", doc(func(r *release.Rollout) { r.Target = "models/cats/4.zip" }), Start(cats(), false, at), "", ErrOther},
	{"start after an aborted one", doc(func(r *release.Rollout) { r.Release, r.State = "dogs-1", release.Aborted }), Start(cats(), false, at), "1795168800/1 running 5%", nil},
	{"start after one for all", doc(func(r *release.Rollout) { r.Release, r.BasisPoints = "dogs-1", release.All }), Start(cats(), false, at), "1795168800/1 running 5%", nil},
	{"start by force", doc(func(r *release.Rollout) { r.Release = "dogs-1" }), Start(cats(), true, at), "1795168800/1 running 5%", nil},
	{"start over a broken one", broken, Start(cats(), false, at), "", ErrUnreadable},
	{"start over a broken one by force", broken, Start(cats(), true, at), "1795168800/1 running 5%", nil},
	{"start over a broken one with a gen", parseDocument([]byte(`{"gen":1099511627776}`)), Start(cats(), true, at), "1099511627777/1 running 5%", nil},
	{"start over a broken one with the last gen", parseDocument([]byte(`{"gen":18446744073709551615}`)), Start(cats(), true, at), "1795168800/1 running 5%", nil},
	{"start after the last gen", doc(func(r *release.Rollout) { r.Gen = math.MaxUint64 }), Start(cats(), true, at), "", ErrEnd},
	{"pause", doc(nil), Pause(), "7/3 paused 5%", nil},
	{"pause twice", doc(paused), Pause(), "7/2 paused 5%", nil},
	{"pause nothing", Document{}, Pause(), "", ErrNone},
	{"pause what was aborted", doc(aborted), Pause(), "", ErrAborted},
	{"pause what is broken", broken, Pause(), "", ErrUnreadable},
	{"pause at the last rev", doc(func(r *release.Rollout) { r.Rev = math.MaxUint64 }), Pause(), "", ErrEnd},
	{"resume", doc(paused), Resume(), "7/3 running 5%", nil},
	{"resume what was aborted", doc(aborted), Resume(), "", ErrAborted},
	{"abort", doc(nil), Abort(), "7/3 aborted 5%", nil},
	{"abort what is paused", doc(paused), Abort(), "7/3 aborted 5%", nil},
	{"abort twice", doc(aborted), Abort(), "7/2 aborted 5%", nil},
	{"abort nothing", Document{}, Abort(), "", ErrNone},
	{"promote", doc(nil), Promote(5000), "7/3 running 50%", nil},
	{"promote what is paused", doc(paused), Promote(release.All), "7/3 paused 100%", nil},
	{"promote to the same", doc(nil), Promote(500), "7/2 running 5%", nil},
	{"promote to less", doc(nil), Promote(499), "", ErrSmaller},
	{"promote what was aborted", doc(aborted), Promote(release.All), "", ErrAborted},
	{"promote nothing", Document{}, Promote(release.All), "", ErrNone},
}

// TestPlans: and whatever is written passes a device's check and is newer than
// what it replaces.
func TestPlans(t *testing.T) {
	for _, c := range planCases {
		t.Run(c.name, func(t *testing.T) {
			next, err := c.plan(c.old)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				if text := err.Error(); strings.ContainsAny(text, "\n\x1b") {
					t.Errorf("the error shows what a device wrote: %q", text)
				}
				return
			}
			if got := strings.Join([]string{gens(next), next.State, Percent(next.BasisPoints)}, " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			data, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			if read, err := release.ParseRollout(data); err != nil || read != next {
				t.Errorf("a device reads %+v, %v", read, err)
			}
			if next != c.old.Rollout && !c.old.Rollout.Older(next) {
				t.Errorf("%s is not newer than %s", gens(next), gens(c.old.Rollout))
			}
			if next.Gen != c.old.Rollout.Gen && next.Salt != "cats-3-"+strings.Split(gens(next), "/")[0] {
				t.Errorf("salt %s", next.Salt)
			}
		})
	}
}

func gens(r release.Rollout) string {
	_, text, _ := strings.Cut(describe(r), ", gen ")
	text, _, _ = strings.Cut(text, ",")
	return strings.Replace(text, " rev ", "/", 1)
}

func TestSaltFits(t *testing.T) {
	r := cats()
	r.Release = strings.Repeat("r", 64)
	next, err := Start(r, false, at)(Document{})
	if err != nil || len(next.Salt) != 64 {
		t.Errorf("salt %q: %v", next.Salt, err)
	}
	r.Salt = "mine"
	if next, err := Start(r, false, at)(Document{}); err != nil || next.Salt != "mine" {
		t.Errorf("%+v, %v", next, err)
	}
}

func TestDescribe(t *testing.T) {
	r := doc(nil).Rollout
	for want, change := range map[string]func(){
		"release cats-3 (models/cats/3.zip) running for 5%, gen 7 rev 2, downloads spread over 10m, back to the version before when aborted": func() {},
		"release cats-3 (models/cats/3.zip) running for 0.25%, gen 7 rev 2, downloads spread over 1h, kept when aborted":                     func() { r.BasisPoints, r.JitterS, r.OnAbort = 25, 3600, "" },
		"release cats-3 (models/cats/3.zip) running for 100%, gen 7 rev 2, kept when aborted":                                                func() { r.BasisPoints, r.JitterS, r.OnAbort = release.All, 0, release.Stay },
	} {
		r = doc(nil).Rollout
		change()
		if got := describe(r); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

var percentCases = []struct {
	in   string
	want release.Share // 0: refused
}{
	{"5", 500}, {"5%", 500}, {"0.01", 1}, {"99.99", 9999}, {"100", 10000}, {"0.5", 50}, {"012", 1200}, {"100.00", 10000},
	{"", 0}, {"%", 0}, {"0", 0}, {"0.001", 0}, {"100.01", 0}, {"-5", 0}, {"+5", 0}, {"5.", 0}, {".5", 0}, {"1e1", 0}, {"NaN", 0}, {"5%%", 0},
	{"1.2.3", 0}, {"99999999999999999999", 0}, {"5.-1", 0},
}

func TestParsePercent(t *testing.T) {
	for _, c := range percentCases {
		if got, err := ParsePercent(c.in); got != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%q: %d, %v, want %d", c.in, got, err, c.want)
		}
	}
}

func TestParseModel(t *testing.T) {
	for in, want := range map[string]release.Model{
		"cats/3": {Name: "cats", Version: 3}, "cats-3": {Name: "cats", Version: 3}, "models/cats/3.zip": {Name: "cats", Version: 3},
		"my-cats-v2/12": {Name: "my-cats-v2", Version: 12}, "": {}, "cats": {}, "cats/": {}, "/3": {}, "cats/0": {}, "cats/03": {},
		"../cats/3": {}, "cats/-1": {}, "cats--1": {Name: "cats-", Version: 1}, "cats/3.zip": {}, "a b/1": {},
	} {
		if got, err := ParseModel(in); got != want || (err == nil) != (want != release.Model{}) {
			t.Errorf("%q: %+v, %v, want %+v", in, got, err, want)
		}
	}
}
