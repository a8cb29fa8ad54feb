package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report judges, prints the tables as docs/TESTING.md has them, and writes the
// results and the plot. What does not hold is its error.
func (r *result) report(o options) error {
	var err error
	if r.Limits, err = judge(limits, r.Windows, r.Warmup); err != nil {
		return err
	}
	r.print(os.Stdout)
	if err := r.write(o.out); err != nil {
		return err
	}
	if err := r.draw(o.plot); err != nil {
		return err
	}
	fmt.Printf("\nwritten: %s, %s; the agent's log: %s\n", o.out, o.plot, o.log)
	return r.failed()
}

// failed names what did not hold.
func (r *result) failed() error {
	var bad []string
	for _, v := range r.Limits {
		if !v.OK {
			bad = append(bad, v.What)
		}
	}
	for _, c := range r.Checks {
		if !c.OK {
			bad = append(bad, c.What)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("did not hold: %s", strings.Join(bad, "; "))
	}
	return nil
}

// judgeAgain judges the file of an earlier run by the present bounds.
func judgeAgain(o options) error {
	data, err := os.ReadFile(o.out)
	if err != nil {
		return err
	}
	var r result
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", o.out, err)
	}
	return r.report(o)
}

func (r *result) print(w io.Writer) {
	last := r.Windows[len(r.Windows)-1].Values
	fmt.Fprintf(w, "\nRun of %s: %.0f minutes on %s, seed %d, %s. Judged after a warm-up of %.0f s: %d calm windows, %d faults, %d reloads (%d of them refused, as they had to be). %.0f predictions, %.0f acknowledged.\n\n",
		r.Began.Format("2006-01-02"), r.Seconds/60, r.Machine, r.Seed, r.Version, r.Warmup, r.Limits[0].Windows,
		total(r.Faults, ""), total(r.Reloads, ""), total(r.Reloads, "wrong"), last["produced"], last["acknowledged"])
	fmt.Fprintln(w, "| in calm windows | first third | last third | trend or largest | bound | |\n|---|---|---|---|---|---|")
	for _, v := range r.Limits {
		scale := scaleOf(v.Series)
		found := fmt.Sprintf("%+.2f", v.Trend/scale)
		if v.Kind == "most" {
			found = fmt.Sprintf("at most %.4g", v.Largest/scale)
		}
		fmt.Fprintf(w, "| %s | %.4g | %.4g | %s | %.4g | %s |\n", withUnit(v.What, v.Unit), v.First/scale, v.Last/scale, found, v.Bound/scale, mark(v.OK))
	}
	fmt.Fprintln(w, "\n| at the end | found | |\n|---|---|---|")
	for _, c := range r.Checks {
		fmt.Fprintf(w, "| %s | %s | %s |\n", c.What, c.Found, mark(c.OK))
	}
	for _, list := range []struct {
		title  string
		counts map[string]int
	}{{"Faults", r.Faults}, {"Reloads", r.Reloads}, {"API clients", r.Clients}, {"Warnings", r.Warns}} {
		fmt.Fprintf(w, "\n%s: %s.\n", list.title, inWords(list.counts))
	}
	fmt.Fprintf(w, "\n%s\n", r.power())
}

// power says what this run was long enough to see.
func (r *result) power() string {
	if len(r.Faults) == 0 {
		return "No faults after the warm-up: this run says nothing of leaks."
	}
	rarest := slices.MinFunc(slices.Collect(maps.Keys(r.Faults)), func(a, b string) int { return r.Faults[a] - r.Faults[b] })
	text := fmt.Sprintf("A descriptor or goroutine lost in each %q, the rarest fault, would have been a trend of about %d", rarest, r.Faults[rarest])
	text += fmt.Sprintf(", and 64 KiB lost in each reload one of %.1f MiB.", float64(total(r.Reloads, ""))/16)
	if r.Faults[rarest] <= 4 || total(r.Reloads, "") < 16*10 {
		text += " That is not beyond all bounds: such a leak takes a longer run to be seen."
	}
	return text
}

func total(counts map[string]int, prefix string) (n int) {
	for name, c := range counts {
		if strings.HasPrefix(name, prefix) {
			n += c
		}
	}
	return n
}

func inWords(counts map[string]int) string {
	if len(counts) == 0 {
		return "none"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%d × %s", counts[name], name))
	}
	return strings.Join(all, ", ")
}

func scaleOf(series string) float64 {
	for _, l := range limits {
		if l.Series == series && l.Scale > 0 {
			return l.Scale
		}
	}
	return 1
}

func withUnit(what, unit string) string {
	if unit == "" {
		return what
	}
	return what + ", " + unit
}

func mark(ok bool) string {
	if ok {
		return "holds"
	}
	return "**FAILS**"
}

func (r *result) write(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, append(data, '\n'), 0o644))
}
