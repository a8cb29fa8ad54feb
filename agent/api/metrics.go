package api

import "net/http"

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error { return nothing(w, r) }

func (s *Server) description(w http.ResponseWriter, r *http.Request) error { return nothing(w, r) }
