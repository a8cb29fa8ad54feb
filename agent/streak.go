package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/egret-edge/egret/internal/wholefile"
)

// streak counts the agent's starts that ended soon and without order, in a row:
// native code that crashes the process or hangs in an Invoke takes the whole
// agent with it, and the same choice would do so again after the restart.
type streak struct{ path string }

// StreakFile is its name in the state folder. It is there only in the first
// minutes of a run.
const StreakFile = "starts"

const (
	// tooMany bad ends in a row have the models run on the CPU.
	tooMany = 3
	// calmAfter is how long a run must last to count as good.
	calmAfter = 10 * time.Minute
)

// begin counts a start and returns how many before it ended badly. A file that
// cannot be read counts as none.
func (s streak) begin() (int, error) {
	bad := 0
	if data, err := os.ReadFile(s.path); err == nil {
		if bad, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil || bad < 0 || bad > 1e6 {
			bad = 0
		}
	}
	if err := wholefile.Write(s.path, []byte(strconv.Itoa(bad+1)+"\n")); err != nil {
		return bad, fmt.Errorf("count starts: %w", err)
	}
	return bad, nil
}

// restart has the present run count as the first: what ended before it had
// other models.
func (s streak) restart() error {
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		return nil // the run has lasted
	}
	if err := wholefile.Write(s.path, []byte("1\n")); err != nil {
		return fmt.Errorf("count starts: %w", err)
	}
	return nil
}

// end forgets the streak.
func (s streak) end() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("count starts: %w", err)
	}
	return nil
}

// run ends the streak when the run has lasted long enough.
func (s streak) run(ctx context.Context) error {
	timer := time.NewTimer(calmAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if err := s.end(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
