package web

import (
	"net/http"
)

// plain answers with text.
func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client has gone: nobody to tell
}

func healthy(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "healthy") }

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.Ready() {
		plain(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	plain(w, http.StatusOK, "ready")
}

// reload answers when the configuration is in force, or with every mistake in it.
func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	if err := s.Reload(r.Context()); err != nil {
		plain(w, http.StatusInternalServerError, "reload failed; the configuration before stays in force:\n"+err.Error())
		return
	}
	plain(w, http.StatusOK, "reloaded")
}

func (s *server) config(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(s.Config()) // the client has gone: nobody to tell
}
