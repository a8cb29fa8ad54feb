package agent

import (
	"slices"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/configs"
)

// models groups what is loaded by configured model and version.
func models(view snapshot, configured []configs.Model) []api.Model {
	all := []api.Model{}
	for _, cfg := range configured {
		m := api.Model{Name: cfg.Name, Versions: []api.Version{}, Labels: map[string]int{}}
		for _, w := range view.workers {
			if w.baseName() == cfg.Name {
				w.addTo(&m)
			}
		}
		slices.SortStableFunc(m.Versions, func(a, b api.Version) int {
			if a.Serving != b.Serving {
				return map[bool]int{true: -1, false: 1}[a.Serving]
			}
			return b.Version - a.Version
		})
		all = append(all, m)
	}
	return all
}

// addTo adds the interpreter to its version of the model.
func (w *worker) addTo(m *api.Model) {
	info, label := w.info.Load(), w.versionLabel()
	m.Task = string(info.Task)
	i := slices.IndexFunc(m.Versions, func(v api.Version) bool { return v.Version == info.Version && v.Digest == info.Digest })
	if i < 0 {
		i = len(m.Versions)
		m.Versions = append(m.Versions, api.Version{Version: info.Version, Digest: info.Digest})
	}
	v := &m.Versions[i]
	v.Serving = v.Serving || !w.beside()
	v.Interpreters = append(v.Interpreters, w.state())
	if label != "" {
		m.Labels[label] = info.Version
	}
}

func (w *worker) state() api.Interpreter {
	info, times := w.info.Load(), w.invokes.latest()
	s := api.Interpreter{
		Name: w.label(), Camera: w.owner, Delegate: info.Delegate, Converted: info.Converted, Threads: info.Threads, Duty: 1,
		Answered: w.answered.Load(), Failed: w.failed.Load(),
		InvokeUsP50: percentile(times, 0.50), InvokeUsP95: percentile(times, 0.95),
		Invokes: w.invokes.histogram(), Waiting: int(w.desk.waiting.Load()),
	}
	if w.throttle.slowed() {
		s.Duty = float64(w.throttle.duty.Load()) / 100
	}
	return s
}
