package fleet

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// rules are what nobody may do: a word and the beginning of a topic.
type rules struct {
	mochi.HookBase
	deny []string
}

func (r *rules) Provides(b byte) bool {
	return b == mochi.OnACLCheck || b == mochi.OnConnectAuthenticate
}

func (r *rules) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (r *rules) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	word := "read "
	if write {
		word = "write "
	}
	return !slices.ContainsFunc(r.deny, func(rule string) bool { return strings.HasPrefix(word+topic, rule) })
}

// ruled is a broker with access rules.
func ruled(t *testing.T, deny ...string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	err = s.AddHook(&rules{deny: deny}, nil)
	if err == nil {
		err = s.AddListener(listeners.NewNet("t", ln))
	}
	if err == nil {
		err = s.Serve()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return "tcp://" + ln.Addr().String()
}

// TestAccessRules: what the broker does not let an operator do is told.
func TestAccessRules(t *testing.T) {
	desk := func(deny ...string) *Desk {
		return newDesk(t, func(o *Options) { o.Broker = ruled(t, deny...) })
	}
	_, err := desk("read egret/v1/test/desired").Change(context.Background(), Start(cats(), false, at))
	if err == nil || !strings.Contains(err.Error(), "does not let this user read egret/v1/test/desired/west: look at its access rules") {
		t.Errorf("no right to read: %v", err)
	}
	_, err = desk("write egret/v1/test/desired").Change(context.Background(), Start(cats(), false, at))
	// This broker closes the connection; others acknowledge what they throw away.
	if !errors.Is(err, ErrOverwritten) && (err == nil || !strings.Contains(err.Error(), "may this user write egret/v1/test/desired/west?")) {
		t.Errorf("no right to write: %v", err)
	}
	// No topic of its own: then only a pause tells that all has come.
	d := desk("write egret/v1/test/operator", "read egret/v1/test/operator")
	mustContain(t, mustChange(t, d, Start(cats(), false, at)), "gen 1795168800 rev 1")
	if s := mustStatus(t, d); s.Rollout == nil {
		t.Error("no rollout seen")
	}
}
