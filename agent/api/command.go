package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/egret-edge/egret/sync/payload"
)

// commands are those of the MQTT contract.
var commands = []string{payload.Diagnose, payload.RestartCamera, payload.Set, payload.Snapshot}

// command carries one out. The reply is that of MQTT; a command that was tried
// and failed is a conflict with what the device is doing.
func (s *Server) command(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if !slices.Contains(commands, name) {
		return wrong(http.StatusNotFound, "there is no command %.80q: try %s", name, strings.Join(commands, ", "))
	}
	if _, err := parameters(r); err != nil {
		return err
	}
	// What a form can send without asking, a stranger's page can.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return wrong(http.StatusUnsupportedMediaType, "a command is a JSON object: send the header Content-Type: application/json")
	}
	data, err := readAll(w, r, payload.MaxCommandBytes)
	if err != nil {
		return err
	}
	if _, err := payload.ParseCommand(name, data); err != nil {
		return wrong(http.StatusBadRequest, "%v", err)
	}
	answer, err := s.o.Device.Command(r.Context(), name, data)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !answer.OK {
		status = http.StatusConflict
	}
	reply(w, status, answer)
	return nil
}

// readAll reads a small body.
func readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return nil, wrong(http.StatusBadRequest, "the body ended early or came too slowly")
	}
	return data, err
}
