package outbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// everyFourth keeps every fourth record, or none when hard, and all summaries.
// A summary names the records that it stands for.
func everyFourth(recs [][]byte, hard bool) (keep []bool, summaries [][]byte) {
	keep = make([]bool, len(recs))
	text := "summary"
	for i, r := range recs {
		n := number(r)
		if keep[i] = n < 0 || !hard && n%4 == 0; !keep[i] {
			text += fmt.Sprint(" ", n)
		}
	}
	if text == "summary" {
		return keep, nil
	}
	return keep, [][]byte{[]byte(text)}
}

// number is which rec it is, or -1 for a summary.
func number(r []byte) int {
	n := -1
	if _, err := fmt.Sscanf(string(r), `{"seq":%d,`, &n); err != nil {
		return -1
	}
	return n
}

func summarized(t *testing.T, r []byte) (list []int) {
	t.Helper()
	for _, word := range strings.Fields(string(r))[1:] {
		var n int
		if _, err := fmt.Sscan(word, &n); err != nil {
			t.Fatalf("summary %q: %v", r, err)
		}
		list = append(list, n)
	}
	return list
}

const recBytes = 147 // of rec(1000), about

func thinned100(opts *Options) { opts.MaxBytes = 1000 * recBytes; opts.Thin = everyFourth }

func TestThinsInPlaceOfDropping(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, thinned100)
	for i := range 20 { // twice the bound
		appendN(t, o, 100*i, 100)
		flush(t, o)
		checkAccount(t, o)
		if s := o.Stats(); s.StoredBytes > 1000*recBytes {
			t.Fatalf("%d bytes are stored", s.StoredBytes)
		}
		if len(o.thinning.rewritten)+len(o.blocks)+len(o.stored.recs) > 0 {
			t.Fatal("thinned blocks stay in memory")
		}
	}
	s := o.Stats()
	if s.Dropped[DroppedThinned] < 600 || s.Dropped[DroppedFull] > 0 {
		t.Errorf("dropped %v, want several hundred as thinned and none as full", s.Dropped)
	}
	seen := map[int]int{}
	last, summaries := -1, 0
	for i, got := range drain(t, o) {
		n := number([]byte(got))
		if n < 0 {
			summaries++
			for _, n := range summarized(t, []byte(got)) {
				seen[n]++
			}
			continue
		}
		seen[n]++
		if n <= last {
			t.Fatalf("at %d: %d comes after %d", i, n, last)
		}
		last = n
	}
	for i := range 2000 {
		if seen[i] != 1 {
			t.Errorf("record %d is there %d times", i, seen[i])
		}
	}
	if s := o.Stats(); s.Produced != uint64(2000+summaries) || summaries == 0 {
		t.Errorf("%d summaries: %+v", summaries, s)
	}
}

// However much comes, the bound is kept, the newest stay whole, and what has
// nothing left to thin goes as the oldest did.
func TestThinningEnds(t *testing.T) {
	for name, thin := range map[string]func([][]byte, bool) ([]bool, [][]byte){
		"well":          everyFourth,
		"nothing":       func(recs [][]byte, _ bool) ([]bool, [][]byte) { return slices.Repeat([]bool{true}, len(recs)), nil },
		"all":           func(recs [][]byte, _ bool) ([]bool, [][]byte) { return make([]bool, len(recs)), nil },
		"wrong count":   func([][]byte, bool) ([]bool, [][]byte) { return nil, nil },
		"ever more":     func(recs [][]byte, _ bool) ([]bool, [][]byte) { return make([]bool, len(recs)), append(recs, recs...) },
		"empty summary": func(recs [][]byte, _ bool) ([]bool, [][]byte) { return make([]bool, len(recs)), [][]byte{{}} },
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, tempPath(t), func(opts *Options) { opts.MaxBytes = 500 * recBytes; opts.Thin = thin })
			const n = 12_000
			for i := 0; i < n; i += 100 {
				appendN(t, o, i, 100)
				flush(t, o)
				checkAccount(t, o)
				if s := o.Stats(); s.StoredBytes > 500*recBytes {
					t.Fatalf("%d bytes are stored", s.StoredBytes)
				}
			}
			if s := o.Stats(); name != "all" && s.Dropped[DroppedFull] == 0 {
				t.Errorf("dropped %v, want some as full", s.Dropped)
			}
			got := drain(t, o)
			wantSeqs(t, got[len(got)-100:], n-100, 100)
		})
	}
}

// A restart, with and without the commit before it, goes on where the passes
// were.
func TestThinningGoesOnAfterARestart(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, thinned100)
	for i := range 30 {
		appendN(t, o, 100*i, 100)
		flush(t, o)
		if i%4 == 0 {
			before := o.Stats()
			to := o.acc.Thinned
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			o = open(t, path, thinned100)
			after := o.Stats()
			if before.Produced != after.Produced || before.Stored != after.Stored || before.Dropped[DroppedThinned] != after.Dropped[DroppedThinned] || to != o.acc.Thinned {
				t.Fatalf("before: %+v %+v\nafter: %+v %+v", before, to, after, o.acc.Thinned)
			}
		}
	}
	if s := o.Stats(); s.Dropped[DroppedFull] > 0 {
		t.Errorf("dropped %v, want none as full", s.Dropped)
	}
}

// What a flush that dies half-way would leave in the file is what was there.
func TestThinningIsOneTransaction(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, thinned100)
	appendN(t, o, 0, 990)
	flush(t, o)
	appendN(t, o, 990, 100)
	before := fileContent(t, o)
	failCommit(t, o)
	if after := fileContent(t, o); !slices.Equal(before, after) {
		t.Error("the file changed")
	}
	s := o.Stats()
	if s.Dropped[DroppedThinned] == 0 || s.Stored >= 990 {
		t.Errorf("not thinned in memory: %+v", s)
	}
	checkAccount(t, o)
	flush(t, o)
	checkAccount(t, o)
	if len(fileContent(t, o)) != int(o.Stats().Stored) {
		t.Error("the file and the account differ")
	}
}

// Blocks that cannot be committed stay in memory: there are only so many.
func TestThinningWaitsForTheDisk(t *testing.T) {
	o := open(t, tempPath(t), func(opts *Options) { opts.MaxBytes = 100_000 * recBytes; opts.Thin = everyFourth })
	for i := range 2 * thinBlocks {
		appendN(t, o, 200*i, 200)
		flush(t, o)
	}
	for i := range 20 {
		o.opts.MaxBytes = o.total() - 30_000 - int64(i)
		failCommit(t, o)
		checkAccount(t, o)
		if n := len(o.thinning.rewritten); n > thinBlocks {
			t.Fatalf("%d blocks are in memory", n)
		}
	}
	flush(t, o)
	if len(o.thinning.rewritten)+len(o.stored.recs) > 0 {
		t.Error("they stay there when the disk works again")
	}
}

// While the disk takes nothing, what is held is thinned before MaxHeld is
// passed, and in order.
func TestThinsWhatIsHeld(t *testing.T) {
	o := open(t, tempPath(t), func(opts *Options) {
		opts.MaxBytes, opts.MaxHeld, opts.Thin = 100_000*recBytes, 1000*recBytes, everyFourth
	})
	appendN(t, o, 0, 20)
	inFlight, _ := o.Take(10, 1<<20)
	o.failing.err = errors.New("no space left")
	for i := range 15 {
		appendN(t, o, 20+100*i, 100)
		failCommit(t, o)
		checkAccount(t, o)
	}
	if s := o.Stats(); s.Dropped[DroppedThinned] < 500 || s.Dropped[DroppedMemory] > 0 || s.Stored > 0 {
		t.Errorf("account: %+v", s)
	}
	o.Release(inFlight)
	flush(t, o)
	seen, last := map[int]int{}, -1
	for _, got := range drain(t, o) {
		n := number([]byte(got))
		if n < 0 {
			for _, n := range summarized(t, []byte(got)) {
				seen[n]++
			}
			continue
		}
		if seen[n]++; n <= last {
			t.Fatalf("%d comes after %d", n, last)
		}
		last = n
	}
	for i := range 1520 {
		if seen[i] != 1 {
			t.Errorf("record %d is there %d times", i, seen[i])
		}
	}
}

func failCommit(t *testing.T, o *Outbox) {
	t.Helper()
	if err := o.makeRoom(); err != nil {
		t.Fatal(err)
	}
	p, _ := o.plan()
	o.settle(p, errors.New("no space left"))
}

func fileContent(t *testing.T, o *Outbox) (list []string) {
	t.Helper()
	err := o.db.View(func(tx *bolt.Tx) error {
		for c := seekBlock(tx, 0); ; {
			first, blob, ok, err := c.read(false)
			if !ok {
				return err
			}
			if err := exportBlock(first, blob, tx.Bucket(bucketDone).Get(seqKey(first)), func(_ uint64, r []byte) error {
				list = append(list, string(r))
				return nil
			}); err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Somebody who takes while the run is being looked at gets the records as they
// were, and they stay.
func TestTakingWhileThinning(t *testing.T) {
	var o *Outbox
	var taken []Batch
	o = open(t, tempPath(t), func(opts *Options) {
		opts.MaxBytes = 1000 * recBytes
		opts.Thin = func(recs [][]byte, hard bool) ([]bool, [][]byte) {
			if len(taken) == 0 {
				b, _ := o.Take(10, 1<<20)
				taken = append(taken, b)
			}
			return everyFourth(recs, hard)
		}
	})
	for i := range 15 {
		appendN(t, o, 100*i, 100)
		flush(t, o)
		checkAccount(t, o)
	}
	var got []string
	for i := range taken[0].Len() {
		got = append(got, string(taken[0].Record(i)))
	}
	wantSeqs(t, got, 0, 10)
	if err := o.Ack(taken[0]); err != nil {
		t.Fatal(err)
	}
	flush(t, o)
}

// TestThinningAgainstAModel does random things, commits that fail among them:
// no record is there twice, none is missing that was not counted as dropped,
// and the account adds up after every step.
func TestThinningAgainstAModel(t *testing.T) {
	var thinned, full uint64
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := runThinModel(t, seed)
			thinned += s.Dropped[DroppedThinned]
			full += s.Dropped[DroppedFull]
		})
	}
	t.Logf("%d thinned, %d full", thinned, full)
	if thinned == 0 {
		t.Error("nothing was ever thinned")
	}
}

func runThinModel(t *testing.T, seed uint64) Stats {
	rng := rand.New(rand.NewPCG(seed, 2))
	path := tempPath(t)
	options := func(opts *Options) { opts.MaxBytes = 2000 * recBytes; opts.Thin = everyFourth }
	o := open(t, path, options)
	seen := map[int]int{}
	var leases []Batch
	next := 0
	ack := func(b Batch) {
		for i := range b.Len() {
			if n := number(b.Record(i)); n >= 0 {
				seen[n]++
				continue
			}
			for _, n := range summarized(t, b.Record(i)) {
				seen[n]++
			}
		}
		if err := o.Ack(b); err != nil {
			t.Fatal(err)
		}
	}
	take := func(most int) bool {
		b, ok := o.Take(most, 40_000)
		last := -1
		for i := range b.Len() {
			if n := number(b.Record(i)); n >= 0 {
				if n <= last {
					t.Fatalf("%d after %d", n, last)
				}
				last = n
			}
		}
		leases = append(leases, b)
		return ok
	}
	for range 300 {
		switch rng.IntN(12) {
		case 0, 1, 2, 3:
			n := rng.IntN(300) + 1
			appendN(t, o, next, n)
			next += n
		case 4:
			take(rng.IntN(200) + 1)
		case 5:
			if len(leases) == 0 {
				continue
			}
			i := rng.IntN(len(leases))
			b := leases[i]
			leases = append(leases[:i:i], leases[i+1:]...)
			if rng.IntN(2) == 0 {
				o.Release(b)
			} else {
				ack(b)
			}
		case 6, 7, 8, 9:
			flush(t, o)
			if s := o.Stats(); s.HeldBytes+s.StoredBytes > 2000*recBytes && s.Leased == 0 {
				t.Fatalf("above the bound: %+v", s)
			}
		case 10:
			o.mu.Lock()
			o.fail(errors.New("no space left")) // until a flush goes well
			o.mu.Unlock()
			failCommit(t, o)
		case 11:
			if rng.IntN(4) > 0 {
				continue
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			o = open(t, path, options)
			leases = nil
		}
		checkAccount(t, o)
	}
	for _, b := range leases {
		o.Release(b)
	}
	for leases = nil; take(100); leases = nil {
		ack(leases[0])
		checkAccount(t, o)
	}
	flush(t, o)
	s := o.Stats()
	missing := 0
	for i := range next {
		if seen[i] > 1 {
			t.Errorf("record %d is there %d times", i, seen[i])
		}
		if seen[i] == 0 {
			missing++
		}
	}
	if s.Held+s.Stored+s.StoredBytes > 0 || s.Dropped[DroppedDamaged] > 0 {
		t.Errorf("at the end: %+v", s)
	}
	if missing > 0 && s.Dropped[DroppedFull]+s.Dropped[DroppedMemory] == 0 {
		t.Errorf("%d are missing: %+v", missing, s)
	}
	return s
}

// A thinned block that turns bad is counted like any other.
func TestThinnedFileIsSaved(t *testing.T) {
	path := tempPath(t)
	o := open(t, path, thinned100)
	appendN(t, o, 0, 990)
	flush(t, o)
	appendN(t, o, 990, 100)
	failCommit(t, o)
	o.flushMu.Lock()
	err := o.replace(errDamaged)
	o.flushMu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	checkAccount(t, o)
	flush(t, o)
	checkAccount(t, o)
	seen := map[int]int{}
	for _, got := range drain(t, o) {
		if n := number([]byte(got)); n >= 0 {
			seen[n]++
			continue
		}
		for _, n := range summarized(t, []byte(got)) {
			seen[n]++
		}
	}
	for i := range 1090 {
		if seen[i] != 1 {
			t.Fatalf("record %d is there %d times", i, seen[i])
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
