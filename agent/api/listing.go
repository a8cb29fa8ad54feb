package api

import (
	"net/http"

	"github.com/egret-edge/egret/sync/payload"
)

// state is the device's, with lists where there could be none.
func (s *Server) state() State {
	st := s.o.Device.State()
	st.NotReady, st.Cameras, st.Models = orEmpty(st.NotReady), orEmpty(st.Cameras), orEmpty(st.Models)
	return st
}

// orEmpty makes a list that JSON does not write as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	return s.tell(w, r, func(st State) any { return st })
}

func (s *Server) cameras(w http.ResponseWriter, r *http.Request) error {
	return s.tell(w, r, func(st State) any { return st.Cameras })
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) error {
	return s.tell(w, r, func(st State) any { return st.Models })
}

// outboxState is what /api/outbox answers.
type outboxState struct {
	Delivery payload.Account        `json:"delivery"`
	Flash    payload.FlashTelemetry `json:"flash"`
	Broker   Broker                 `json:"broker"`
}

func (s *Server) outbox(w http.ResponseWriter, r *http.Request) error {
	return s.tell(w, r, func(st State) any { return outboxState{st.Delivery, st.Flash, st.Broker} })
}

// updateState is what /api/updates answers.
type updateState struct {
	Update *payload.Reported `json:"update"` // null: updates are off
}

func (s *Server) updates(w http.ResponseWriter, r *http.Request) error {
	return s.tell(w, r, func(st State) any { return updateState{st.Update} })
}

// tell answers with a part of the state.
func (s *Server) tell(w http.ResponseWriter, r *http.Request, part func(State) any) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	reply(w, http.StatusOK, part(s.state()))
	return nil
}

func (s *Server) predictions(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	page, err := s.o.Device.Predictions(r.Context(), q)
	if err != nil {
		return err
	}
	page.Predictions = orEmpty(page.Predictions)
	reply(w, http.StatusOK, page)
	return nil
}

// readQuery reads what predictions are asked for.
func readQuery(r *http.Request) (Query, error) {
	v, err := parameters(r, "camera", "label", "min_score", "from", "to", "before", "limit")
	if err != nil {
		return Query{}, err
	}
	q := Query{
		Camera: v.id("camera"), Label: v.text("label", 200), MinScore: v.number("min_score", 0, 0, 1),
		From: v.time("from"), To: v.time("to"),
		Before: v.text("before", 200), Limit: int(v.whole("limit", 0, 1, 500)),
	}
	return q, v.err
}
