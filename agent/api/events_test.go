package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/apitest"
)

// eventually polls until ok, for half a minute at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// script is a device whose events are these, once.
func script(events ...api.Event) api.Device {
	return &apitest.Fake{EventsFunc: func(_ context.Context, each func(api.Event) error) error {
		for _, e := range events {
			if err := each(e); err != nil {
				return err
			}
		}
		return nil
	}}
}

func TestEvents(t *testing.T) {
	device := script(
		api.Event{Type: api.EventPrediction, Data: json.RawMessage(`{"camera":"bird","seq":1}`)},
		api.Event{Type: api.EventPrediction, Data: json.RawMessage("{\"camera\":\n\"street\"}")},
		api.Event{Type: api.EventState, Data: json.RawMessage(`{"device":"cam-7"}`)},
		api.Event{Type: api.EventRelease, Data: json.RawMessage("{\n no JSON")},
		api.Event{Type: api.EventLost, Data: json.RawMessage(`{"events":4}`)},
	)
	const (
		bird   = "event: prediction\ndata: {\"camera\":\"bird\",\"seq\":1}\n\n"
		street = "event: prediction\ndata: {\"camera\":\"street\"}\n\n"
		state  = "event: state\ndata: {\"device\":\"cam-7\"}\n\n"
		lost   = "event: lost\ndata: {\"events\":4}\n\n"
	)
	s := serve(t, func(o *api.Options) { o.Device = device })
	for query, want := range map[string]string{
		"":                               bird + street + state + lost,
		"?types=state":                   state + lost,
		"?types=prediction&camera=bird":  bird + lost,
		"?camera=street":                 street + state + lost,
		"?types=release,state&camera=no": state + lost,
	} {
		res, body := s.do(t, "GET", "/api/events"+query, "")
		if res.Header.Get("Content-Type") != "text/event-stream" || body != "retry: 2000\n\n"+want {
			t.Errorf("%s: %s\n%s", query, res.Header.Get("Content-Type"), body)
		}
	}
}

// TestEventsBeat: a stream that is silent says so every 15 s.
func TestEventsBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Device = &apitest.Fake{EventsFunc: func(ctx context.Context, each func(api.Event) error) error {
			time.Sleep(20 * time.Second)
			if err := each(api.Event{Type: api.EventLost, Data: json.RawMessage("{}")}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}}
		server, err := api.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/events", nil)
		server.Handler().ServeHTTP(w, r)
		const want = "retry: 2000\n\n: still here\n\nevent: lost\ndata: {}\n\n: still here\n\n"
		if got := w.Body.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestEventsEndWithTheClient: the device is not asked any longer when the client
// has gone.
func TestEventsEndWithTheClient(t *testing.T) {
	ended := make(chan struct{})
	var once sync.Once
	s := serve(t, func(o *api.Options) {
		o.Device = &apitest.Fake{EventsFunc: func(ctx context.Context, each func(api.Event) error) error {
			defer once.Do(func() { close(ended) })
			<-ctx.Done()
			return nil
		}}
	})
	res, err := s.Get(s.url + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "retry") {
		t.Fatal(line, err)
	}
	res.Body.Close()
	<-ended
}
