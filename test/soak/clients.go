package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// clients use the agent's API while there are faults, well and badly.
type clients struct {
	api     string
	picture []byte

	mu     sync.Mutex // guards all following fields
	counts map[string]int
}

// run has them at work until ctx is done, and leaves no connection open.
func (c *clients) run(ctx context.Context, rng *rand.Rand) {
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, do := range []func(context.Context, *http.Client, *rand.Rand){c.watch, c.watch, c.listen, c.ask, c.ask, c.look, c.rude} {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		wg.Go(func() {
			for ctx.Err() == nil {
				do(ctx, client, own)
				_ = sleep(ctx, time.Duration(20+own.IntN(200))*time.Millisecond)
			}
		})
	}
}

// fetch makes a request and reads its answer, at most for the given time.
func (c *clients) fetch(ctx context.Context, client *http.Client, method, path string, body []byte, kind string, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.api+path, bytes.NewReader(body))
	if err != nil {
		panic(err) // it is made of constants
	}
	req.Header.Set("Content-Type", kind)
	res, err := client.Do(req)
	if err != nil {
		c.count("no answer")
		return
	}
	defer res.Body.Close()
	c.count(res.Status[:3])
	_, _ = io.Copy(io.Discard, res.Body) // a stream ends by the clock or with a reload
}

func (c *clients) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// watch looks at a camera for a while.
func (c *clients) watch(ctx context.Context, client *http.Client, rng *rand.Rand) {
	camera := []string{"web", "program", "pattern", "folder"}[rng.IntN(4)]
	path := fmt.Sprintf("/api/cameras/%s/stream.mjpeg?overlay=%d", camera, rng.IntN(2))
	c.fetch(ctx, client, http.MethodGet, path, nil, "", time.Duration(200+rng.IntN(4000))*time.Millisecond)
}

func (c *clients) listen(ctx context.Context, client *http.Client, rng *rand.Rand) {
	c.fetch(ctx, client, http.MethodGet, "/api/events", nil, "", time.Duration(200+rng.IntN(4000))*time.Millisecond)
}

// ask puts a picture to a model, and sometimes does not wait for the answer.
func (c *clients) ask(ctx context.Context, client *http.Client, rng *rand.Rand) {
	lasts := 10 * time.Second
	if rng.IntN(4) == 0 {
		lasts = time.Duration(1+rng.IntN(50)) * time.Millisecond
	}
	path := []string{"/v1/models/classifier:classify", "/v1/models/street:predict", "/api/models/street/predict"}[rng.IntN(3)]
	body := c.picture
	if rng.IntN(8) == 0 {
		body = body[:len(body)/3]
	}
	c.fetch(ctx, client, http.MethodPost, path, body, "image/jpeg", lasts)
}

// look reads what people and Prometheus read, and restarts cameras.
func (c *clients) look(ctx context.Context, client *http.Client, rng *rand.Rand) {
	path := []string{"/metrics", "/api/status", "/api/predictions?limit=100&label=dog", "/api/cameras/pattern/snapshot.jpg?overlay=1", "/", "/api/nothing"}[rng.IntN(6)]
	c.fetch(ctx, client, http.MethodGet, path, nil, "", 10*time.Second)
	if rng.IntN(3) == 0 {
		body := fmt.Sprintf(`{"camera":%q}`, []string{"web", "program", "pattern"}[rng.IntN(3)])
		c.fetch(ctx, client, http.MethodPost, "/api/commands/restart-camera", []byte(body), "application/json", 10*time.Second)
	}
}

// rude begins requests that it does not end, and streams that it does not read.
func (c *clients) rude(ctx context.Context, _ *http.Client, rng *rand.Rand) {
	conn, err := net.Dial("tcp", c.api)
	if err != nil {
		return
	}
	defer conn.Close()
	words := []string{"GET /api/st", "GET /api/cameras/pattern/stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /v1/models/street:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc"}
	_, _ = io.WriteString(conn, words[rng.IntN(len(words))])
	c.count("rude")
	_ = sleep(ctx, time.Duration(rng.IntN(3000))*time.Millisecond)
}
